package artifacts

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHostileResults: the guest has the disk in its hand.
func TestHostileResults(t *testing.T) {
	const marker = "0123"
	empty := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	endOf := func(lines string) tar.Header { return file("./headwatch.end", "headwatch "+marker+"\n"+lines) }
	many := []tar.Header{endOf("")}
	for i := range maxResults + 1 {
		many = append(many, file("./results/f"+itoa(i), ""))
	}
	for _, tt := range []struct {
		name, says string
		entries    []tar.Header
	}{
		{"no end", "no end marker", []tar.Header{file("./results/a", "x")}},
		{"another digest", "not what the guest wrote", []tar.Header{file("./results/a", "x"), endOf(empty + "  a\n")}},
		{"not there", "missing", []tar.Header{endOf(empty + "  a\n")}},
		{"not named", "does not name", []tar.Header{endOf(""), file("./results/a", "x")}},
		{"twice", "twice", []tar.Header{endOf(empty + "  a\n"), file("./results/a", ""), file("./results/a", "x")}},
		{"a line of nonsense", "want a digest", []tar.Header{endOf("nonsense\n")}},
		{"a name that leads out", "want a digest", []tar.Header{endOf(empty + "  ../a\n")}},
		{"many", "more than it may", many},
	} {
		disk := filepath.Join(t.TempDir(), "disk")
		writeTar(t, disk, tt.entries...)
		dir := t.TempDir()
		_, err := ReadResults(t.Context(), disk, marker, dir)
		if !errors.Is(err, ErrNoResults) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left %v", tt.name, left)
		}
	}
	// Links and names elsewhere are not results, and do no harm.
	disk, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	writeTar(t, disk, link(tar.TypeSymlink, "./results/a", "/etc/passwd"), file("./results/../../evil", "x"), file("./results/sub/evil", "x"),
		file("/results/evil", "x"), file("./results/.evil", "x"), endOf(empty+" b\n"), file("./results/b", ""))
	if got, err := ReadResults(t.Context(), disk, marker, dir); !cmp.Equal(got, []string{"b"}) || err != nil {
		t.Errorf("%q, %v: want b alone", got, err)
	}
	// What the host cannot write is not the guest's fault.
	_, err := ReadResults(t.Context(), disk, marker, dir)
	refused(t, err, false, "file exists")
	if err := os.WriteFile(disk, noise(1, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadResults(t.Context(), disk, marker, dir); !errors.Is(err, ErrNoResults) {
		t.Errorf("noise: %v", err)
	}
}

func writeTar(t *testing.T, name string, entries ...tar.Header) {
	t.Helper()
	p, err := openPacked(t.Context(), set(t, entries...))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, make([]byte, 1<<16)...), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzReadResults(f *testing.F) {
	disk := filepath.Join(f.TempDir(), "disk")
	marker, err := (Meta{Size: 1 << 20}).Write(f.Context(), disk)
	if err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(disk)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := ReadResults(t.Context(), written(t, b), marker, t.TempDir())
		if !errors.Is(err, ErrNoResults) {
			t.Errorf("%v", err)
		}
	})
}
