package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listing describes what is below dir: "mode content" of files, "-> target" of links,
// "dir" of empty folders.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || rel == ".":
		case d.IsDir():
			if inside, _ := os.ReadDir(path); len(inside) == 0 {
				got[rel] = "dir"
			}
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			got[rel] = "-> " + target
		default:
			info, _ := d.Info()
			content, _ := os.ReadFile(path)
			got[rel] = fmt.Sprintf("%o %s", info.Mode().Perm(), content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// oddUpstream has one of everything that a tree can hold.
func oddUpstream(t *testing.T) (*upstream, string) {
	u := newUpstream(t)
	u.write("Makefile", "all:\n")
	u.write("bin/tool", "#!/bin/sh\n")
	u.write("bin/space and \xff", "odd\n")
	u.write("a/b/c/deep", "$Format:%H$ $Id$\r\n")
	u.write("secret/plan", "left out by git archive\n")
	u.write(".gitattributes", "secret export-ignore\n* export-subst ident text eol=crlf\n")
	for link, target := range map[string]string{"inside": "a/b", "outside": "/etc/passwd", "up": "../../../x"} {
		if err := os.Symlink(target, filepath.Join(u.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(u.dir, "bin/tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	u.git("-c", "core.autocrlf=false", "add", "-A")
	u.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("12", 20)+",contrib/sub")
	u.git("commit", "-q", "-m", "odd")
	return u, u.head()
}

// content is what was committed, which the upstream's own attributes decided.
func (u *upstream) content(rev string) string {
	return u.git("cat-file", "blob", rev)
}

func TestExport(t *testing.T) {
	u, head := oddUpstream(t)
	whole := map[string]string{
		".gitattributes":     "644 secret export-ignore\n* export-subst ident text eol=crlf\n",
		"Makefile":           "644 all:\n",
		"bin/tool":           "755 #!/bin/sh\n",
		"bin/space and \xff": "644 odd\n",
		"a/b/c/deep":         "644 " + u.content(head+":a/b/c/deep") + "\n",
		"secret/plan":        "644 left out by git archive\n",
		"inside":             "-> a/b",
		"outside":            "-> /etc/passwd",
		"up":                 "-> ../../../x",
		"contrib/sub":        "dir",
	}
	if !strings.Contains(whole["a/b/c/deep"], "$Format:%H$ $Id$") {
		t.Fatalf("the test is not about attributes: %q", whole["a/b/c/deep"])
	}
	server := u.serve(nil)
	m := mirror(t, server.url, 1)
	fetch(t, m, "")
	some := t.TempDir()
	if err := m.Export(t.Context(), head, []string{"a/b/", "bin/tool", "./outside"}, some); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a/b/c/deep": whole["a/b/c/deep"], "bin/tool": whole["bin/tool"], "outside": whole["outside"]}
	if diff := cmp.Diff(want, listing(t, some)); diff != "" {
		t.Errorf("some paths (-want +got)\n%s", diff)
	}
	if n := blobs(t, m); n != 3 {
		t.Errorf("the mirror holds %d contents, wanted the three exported", n)
	}
	before := server.count()
	for name, dir := range map[string]string{"new": filepath.Join(t.TempDir(), "x", "y"), "again": some} {
		if err := m.Export(t.Context(), head, nil, dir); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, listing(t, dir)); diff != "" {
			t.Errorf("%s: whole tree (-want +got)\n%s", name, diff)
		}
	}
	if n := server.count() - before; n > 3 {
		t.Errorf("eight contents took %d requests", n)
	}
	server.Close()
	if err := m.Export(t.Context(), head, []string{"."}, t.TempDir()); err != nil {
		t.Error("without a network:", err)
	}
}

func TestExportErrors(t *testing.T) {
	u, head := oddUpstream(t)
	m := mirror(t, u.dir, 1)
	fetch(t, m, "")
	for want, c := range map[string]struct{ commit, path string }{
		`export of commit ` + head + `: the commit has no path "sys/none"`: {head, "sys/none"},
		`has no path "bin/tool/x"`:              {head, "bin/tool/x"},
		`"../up" is not a path inside`:          {head, "../up"},
		`"/etc" is not a path inside`:           {head, "/etc"},
		`"" is not a path inside`:               {head, ""},
		`is not a commit's full hash`:           {"HEAD", "."},
		strings.Repeat("9", 40) + " is not in ": {strings.Repeat("9", 40), "."},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		err := m.Export(t.Context(), c.commit, []string{c.path}, dir)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `upstream "demo"`) {
			t.Errorf("wanted %q, got %v", want, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Error("half an export was begun", err)
		}
	}
}

func TestExportWritesThroughNothing(t *testing.T) {
	u, head := oddUpstream(t)
	m := mirror(t, "file://"+u.dir, 1)
	fetch(t, m, "")
	outside, dir := t.TempDir(), t.TempDir()
	precious := filepath.Join(outside, "precious")
	err := errors.Join(
		os.WriteFile(precious, []byte("mine"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "a")),         // where a folder goes
		os.Symlink(precious, filepath.Join(dir, "Makefile")), // where a file goes
		os.Link(precious, filepath.Join(dir, "outside")),     // where a link goes
		os.MkdirAll(filepath.Join(dir, "bin", "tool", "full"), 0o755),
		os.WriteFile(filepath.Join(dir, "stays"), nil, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Export(t.Context(), head, nil, dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"precious": "600 mine"}, listing(t, outside)); diff != "" {
		t.Error(diff)
	}
	got := listing(t, dir)
	if _, ok := got["stays"]; !ok || len(got) != 11 || got["Makefile"] != "644 all:\n" || got["bin/tool"] != "755 #!/bin/sh\n" {
		t.Errorf("%q", got)
	}
}

func TestExportRefusesHostileTrees(t *testing.T) {
	u := newUpstream(t)
	u.commit("c1")
	blob := u.pipe("owned\n", "hash-object", "-w", "--stdin")
	outside := t.TempDir()
	link := u.pipe(outside, "hash-object", "-w", "--stdin")
	raw := func(entries ...string) string {
		var b strings.Builder
		for _, e := range entries {
			mode, rest, _ := strings.Cut(e, " ")
			name, id, _ := strings.Cut(rest, "\t")
			fmt.Fprintf(&b, "%s %s\x00", mode, name)
			for i := 0; i < len(id); i += 2 {
				var c byte
				fmt.Sscanf(id[i:i+2], "%02x", &c)
				b.WriteByte(c)
			}
		}
		return u.pipe(b.String(), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
	}
	inner := raw("100644 x\t" + blob)
	for name, tree := range map[string]string{
		"dots":          raw("100644 ..\t" + blob),
		"dots tree":     raw("40000 ..\t" + inner),
		"slash":         raw("100644 ../../x\t" + blob),
		"absolute":      raw("100644 /etc/x\t" + blob),
		"repository":    raw("40000 .GIT\t" + inner),
		"odd mode":      raw("20666 dev\t" + blob),
		"two of a name": raw("120000 sub\t"+link, "40000 sub\t"+inner),
	} {
		t.Run(name, func(t *testing.T) {
			commit := u.git("commit-tree", "-m", name, tree)
			u.git("update-ref", "refs/heads/main", commit)
			m := mirror(t, u.dir, 1)
			fetch(t, m, "")
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			err := m.Export(t.Context(), commit, nil, dir)
			if name == "two of a name" {
				if got := listing(t, outside); err != nil || len(got) != 0 {
					t.Errorf("%v; outside: %v", err, got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "not safe to write") && !strings.Contains(err.Error(), "none that git makes") {
				t.Error(err)
			}
			if diff := cmp.Diff(map[string]string{"out": "dir"}, listing(t, parent)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
