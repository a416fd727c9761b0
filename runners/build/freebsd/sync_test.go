package freebsd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// put writes files below dir; a content that begins with "->" is a link's target,
// one with "#!" that of an executable.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(full); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "->"); link {
			err = os.Symlink(target, full)
		} else if strings.HasPrefix(text, "#!") {
			err = os.WriteFile(full, []byte(text), 0o755)
		} else {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// get reads what put wrote; folders that hold nothing have a name of their own.
func get(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if entries, err := os.ReadDir(name); err != nil || len(entries) == 0 && rel != "." {
				got[rel] = "empty folder"
			}
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			got[rel] = "->" + target
			return err
		default:
			text, err := os.ReadFile(name)
			got[rel] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func mtime(t *testing.T, name string) time.Time {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func mustScan(t *testing.T, dir string, paths ...string) []file {
	t.Helper()
	files, err := scan(t.Context(), dir, paths, []string{"skipped"})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"sys/a.c": "hello\n", "sys/run.sh": "#!x", "sys/link": "->a.c", "sys/.git/HEAD": "no", "sub/.git": "gitdir: x", "other/b": "b", "skipped/x": "x",
	})
	got := mustScan(t, dir, "sys", "sys/a.c", "sub", "absent", "skipped")
	want := []file{
		{"sys/a.c", kindFile, 6, "ce013625030ba8dba906f756967f9e9ca394464a"}, // git hash-object
		{"sys/link", kindLink, 3, got[1].Sum},
		{"sys/run.sh", kindExec, 3, got[2].Sum},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUpdate(t *testing.T) {
	old := map[string]string{
		"same": "1", "content": "one", "mode": "#!m", "kind": "file", "gone/deep/x": "x", "folder/f": "f", "was": "file", "link": "->same",
	}
	next := map[string]string{
		"same": "1", "content": "two", "mode": "#!m", "kind": "->same", "folder": "now a file", "was/now": "a folder", "link": "->content", "new/n": "n",
	}
	src, dst := t.TempDir(), t.TempDir()
	put(t, src, old)
	have := mustScan(t, src, ".")
	if err := compare(nil, have).apply(t.Context(), src, dst); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old, get(t, dst)); diff != "" {
		t.Fatal(diff)
	}
	past := time.Now().Add(-time.Hour)
	for _, name := range []string{"same", "content", "mode"} {
		if err := os.Chtimes(filepath.Join(dst, name), past, past); err != nil {
			t.Fatal(err)
		}
	}

	src = t.TempDir()
	put(t, src, next)
	// The same bytes, no longer executable.
	if err := os.Chmod(filepath.Join(src, "mode"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What the export says of the time does not count.
	if err := os.Chtimes(filepath.Join(src, "content"), past, past.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	want := mustScan(t, src, ".")
	if err := compare(have, want).apply(t.Context(), src, dst); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(next, get(t, dst)); diff != "" {
		t.Error(diff)
	}
	if !mtime(t, filepath.Join(dst, "same")).Equal(past) {
		t.Error("an unchanged file was written")
	}
	for _, name := range []string{"content", "mode"} {
		if !mtime(t, filepath.Join(dst, name)).After(past.Add(time.Minute)) {
			t.Errorf("%s changed, but not its time", name)
		}
	}
	if diff := cmp.Diff(want, mustScan(t, dst, ".")); diff != "" {
		t.Error(diff)
	}
	if c := compare(want, mustScan(t, src, ".")); !c.none() {
		t.Errorf("equal trees differ: %+v", c)
	}
}

func TestUpdateNoticesChange(t *testing.T) {
	src := t.TempDir()
	put(t, src, map[string]string{"a": "one"})
	c := compare(nil, mustScan(t, src, "."))
	put(t, src, map[string]string{"a": "two"})
	if err := c.apply(t.Context(), src, t.TempDir()); err == nil || !strings.Contains(err.Error(), "a changed while it was read") {
		t.Errorf("%v", err)
	}
}

func TestUpdateStaysInside(t *testing.T) {
	src, dst, outside := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"d": "->" + outside})
	have := mustScan(t, src, ".")
	if err := compare(nil, have).apply(t.Context(), src, dst); err != nil {
		t.Fatal(err)
	}
	put(t, src, map[string]string{"d": "x"})
	if err := os.Remove(filepath.Join(src, "d")); err != nil {
		t.Fatal(err)
	}
	put(t, src, map[string]string{"d/f": "f"})
	want := mustScan(t, src, ".")
	// A manifest that does not know of the link must not lead us through it.
	if err := compare(nil, want).apply(t.Context(), src, dst); err == nil {
		t.Error("wrote through a link")
	}
	if got := get(t, outside); len(got) != 0 {
		t.Errorf("outside: %v", got)
	}
}

func TestManifest(t *testing.T) {
	name := filepath.Join(t.TempDir(), "manifest.jsonl")
	want := []file{{"a", kindFile, 1, "00"}, {"b\n\u2028", kindLink, 2, "01"}}
	if err := writeManifest(name, want); err != nil {
		t.Fatal(err)
	}
	got, err := readManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(text) {
		if err := os.WriteFile(name, text[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readManifest(name); err == nil {
			t.Fatalf("a manifest cut to %d of %d bytes was read", cut, len(text))
		}
	}
	if _, err := readManifest(name + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no manifest: %v", err)
	}
}
