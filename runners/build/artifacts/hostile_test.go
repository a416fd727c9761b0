package artifacts

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

func TestHostileSets(t *testing.T) {
	bad := func(h tar.Header, change func(*tar.Header)) tar.Header { change(&h); return h }
	for _, tt := range []struct {
		name, says string
		entries    []tar.Header
	}{
		{"up", "leads out", []tar.Header{file("../evil", "x")}},
		{"up in the middle", "leads out", []tar.Header{file("./a/../../evil", "x")}},
		{"absolute", "leads out", []tar.Header{file("/evil", "x")}},
		{"through a link", "passes through a", []tar.Header{link(tar.TypeSymlink, "./a", "/tmp"), file("./a/evil", "x")}},
		{"through two links", "passes through a", []tar.Header{link(tar.TypeSymlink, "./a", "b"), link(tar.TypeSymlink, "./b", ".."), file("./a/evil", "x")}},
		{"through a file", "passes through a", []tar.Header{file("./a", "x"), file("./a/b", "x")}},
		{"hard link out", "leads out", []tar.Header{link(tar.TypeLink, "./a", "/etc/passwd")}},
		{"hard link up", "leads out", []tar.Header{link(tar.TypeLink, "./a", "../../etc/passwd")}},
		{"hard link to nothing", "not in the tree", []tar.Header{link(tar.TypeLink, "./a", "./b")}},
		{"hard link to a folder", "to a folder", []tar.Header{dir("./b", 0o755), link(tar.TypeLink, "./a", "./b")}},
		{"device", "neither file", []tar.Header{{Typeflag: tar.TypeChar, Name: "./dev/mem", Devmajor: 1, Devminor: 1}}},
		{"fifo", "neither file", []tar.Header{{Typeflag: tar.TypeFifo, Name: "./pipe"}}},
		{"folder over file", "where there is", []tar.Header{file("./a", "x"), dir("./a", 0o755)}},
		{"file over folder", "where there is", []tar.Header{dir("./a", 0o755), file("./a", "x")}},
		{"link over the root", "where there is", []tar.Header{link(tar.TypeSymlink, "./", "/tmp")}},
		{"our list", "kept for headwatch", []tar.Header{file("./METALOG", "x")}},
		{"large file", "more than 1000", []tar.Header{file("./a", strings.Repeat("x", 1001))}},
		{"large tree", "more than 2000", []tar.Header{file("./a", strings.Repeat("x", 900)), file("./b", strings.Repeat("x", 900)), file("./c", strings.Repeat("x", 900))}},
		{"many", "more than 5 entries", []tar.Header{dir("a", 0), dir("b", 0), dir("c", 0), dir("d", 0), dir("e", 0), dir("f", 0)}},
		{"long name", "more than 1024 bytes", []tar.Header{file(strings.Repeat("a/", 600)+"b", "x")}},
		{"flags that end the line", "file flags", []tar.Header{bad(file("./a", "x"), func(h *tar.Header) { h.PAXRecords["SCHILY.fflags"] = "schg\n./b type=file" })}},
	} {
		tr := tree(t, Limits{Entries: 5, File: 1000, Total: 2000})
		_, err := tr.Add(t.Context(), set(t, tt.entries...))
		if err == nil {
			t.Errorf("%s: unpacked", tt.name)
			continue
		}
		refused(t, err, true, tt.says)
	}
}

// TestNamesCannotForgeLines: the METALOG is a text.
func TestNamesCannotForgeLines(t *testing.T) {
	tr := tree(t, Limits{})
	h := file("./a\n.\u00a0b", "x")
	h.Uname = "root mode=04777"
	if _, err := tr.Add(t.Context(), set(t, h, link(tar.TypeSymlink, "./l", "x mode=04777\n./y"))); err != nil {
		t.Fatal(err)
	}
	got := finished(t, tr)
	if strings.Count(got, "\n") != 4 || strings.Contains(got, "mode=04777") || !strings.Contains(got, `./a\012.\302\240b type=file uid=0`) {
		t.Errorf("%s", got)
	}
}

func TestTreeFaults(t *testing.T) {
	whole := baseSet(t)
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree(t, Limits{}).Add(t.Context(), written(t, b[:len(b)-20]))
	refused(t, err, true, "truncated")
	_, err = tree(t, Limits{}).Add(t.Context(), written(t, packXZ(t, text(5000))))
	refused(t, err, true, "corrupted: archive/tar: invalid tar header")
	_, err = tree(t, Limits{}).Add(t.Context(), whole+".not")
	refused(t, err, false, "no such file")
	tr := tree(t, Limits{})
	if err := os.RemoveAll(tr.dir); err != nil {
		t.Fatal(err)
	}
	_, err = tr.Add(t.Context(), whole)
	refused(t, err, false, "")
	_, err = NewTree(filepath.Dir(whole), Limits{})
	var infra *runners.InfraError
	if !errors.As(err, &infra) || !strings.Contains(err.Error(), "not an empty folder") {
		t.Errorf("%v", err)
	}
}
