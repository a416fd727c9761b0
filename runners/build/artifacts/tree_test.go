package artifacts

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// allocated is what a file takes on the disk, in bytes.
func allocated(t *testing.T, name string) int64 {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.Sys().(*syscall.Stat_t).Blocks * 512
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Uname: "root", Gname: "wheel", Size: int64(len(content)),
		ModTime: time.Unix(1577836800, 0), PAXRecords: map[string]string{"TEST.content": content}}
}

func dir(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uname: "root", Gname: "wheel", ModTime: time.Unix(1577836800, 0)}
}

func link(typ byte, name, to string) tar.Header {
	return tar.Header{Typeflag: typ, Name: name, Linkname: to, Mode: 0o755, Uname: "root", Gname: "wheel", ModTime: time.Unix(1577836800, 0)}
}

// set packs entries as the CI does.
func set(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := h.PAXRecords["TEST.content"]
		delete(h.PAXRecords, "TEST.content")
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return written(t, packXZ(t, b.Bytes()))
}

func tree(t *testing.T, limits Limits) *Tree {
	t.Helper()
	tr, err := NewTree(filepath.Join(t.TempDir(), "root"), limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

func finished(t *testing.T, tr *Tree) string {
	t.Helper()
	name, err := tr.Finish()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func baseSet(t *testing.T) string {
	suid := file("./usr/bin/su", "su")
	suid.Mode, suid.PAXRecords["SCHILY.fflags"] = 0o4555, "schg,uarch"
	odd := file("./etc/a name#1", "odd")
	odd.Uname, odd.Uid, odd.Gname, odd.Gid = "", 77, "no good name", 78
	return set(t,
		dir("./", 0o755), dir("./boot/", 0o750), dir("./boot/lua/", 0o755),
		file("./boot/lua/core.lua", "core"), file("./boot/loader_lua.efi", "loader"), link(tar.TypeLink, "./boot/loader.efi", "./boot/loader_lua.efi"),
		suid, odd, link(tar.TypeSymlink, "./sys", "usr/src/sys"), link(tar.TypeSymlink, "./etc/out", "/etc/passwd"),
		link(tar.TypeSymlink, "./up", "../../../etc"), dir("./tmp", 0o1777))
}

func TestTree(t *testing.T) {
	tr := tree(t, Limits{})
	if n, err := tr.Add(t.Context(), baseSet(t)); n != 12 || err != nil {
		t.Fatalf("%d entries, %v; want 12", n, err)
	}
	if n, err := tr.Add(t.Context(), set(t, file("./boot/kernel/kernel", "new kernel"), file("./boot/lua/core.lua", "newer"))); n != 2 || err != nil {
		t.Fatalf("%d entries, %v; want 2", n, err)
	}
	const when = " time=1577836800.000000000"
	want := strings.Join([]string{"#mtree 2.0",
		". type=dir uname=root gname=wheel mode=0755" + when,
		"./boot type=dir uname=root gname=wheel mode=0750" + when,
		"./boot/kernel type=dir uname=root gname=wheel mode=0755",
		"./boot/kernel/kernel type=file uname=root gname=wheel mode=0444 size=10" + when,
		"./boot/loader.efi type=file uname=root gname=wheel mode=0444 size=6" + when,
		"./boot/loader_lua.efi type=file uname=root gname=wheel mode=0444 size=6" + when,
		"./boot/lua type=dir uname=root gname=wheel mode=0755" + when,
		"./boot/lua/core.lua type=file uname=root gname=wheel mode=0444 size=5" + when,
		"./etc type=dir uname=root gname=wheel mode=0755",
		`./etc/a\040name\0431 type=file uid=77 gid=78 mode=0444 size=3` + when,
		"./etc/out type=link uname=root gname=wheel mode=0755 link=/etc/passwd" + when,
		"./sys type=link uname=root gname=wheel mode=0755 link=usr/src/sys" + when,
		"./tmp type=dir uname=root gname=wheel mode=01777" + when,
		"./up type=link uname=root gname=wheel mode=0755 link=../../../etc" + when,
		"./usr type=dir uname=root gname=wheel mode=0755",
		"./usr/bin type=dir uname=root gname=wheel mode=0755",
		"./usr/bin/su type=file uname=root gname=wheel mode=04555 size=2" + when + " flags=schg,uarch",
		""}, "\n")
	if diff := cmp.Diff(want, finished(t, tr)); diff != "" {
		t.Errorf("METALOG (-want +got):\n%s", diff)
	}
	err := filepath.WalkDir(tr.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky|fs.ModeSymlink|0o022) != 0 {
			t.Errorf("%s is %v on the host", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(tr.dir, "boot/lua/core.lua")); string(got) != "newer" || err != nil {
		t.Errorf("a file of two sets holds %q, %v", got, err)
	}
	a, errA := os.Stat(filepath.Join(tr.dir, "boot/loader.efi"))
	b, errB := os.Stat(filepath.Join(tr.dir, "boot/loader_lua.efi"))
	if errors.Join(errA, errB) != nil || !os.SameFile(a, b) {
		t.Errorf("hard links are two files: %v", errors.Join(errA, errB))
	}
}

func TestTreeTakesOnlyWhatIsWanted(t *testing.T) {
	tr := tree(t, Limits{})
	if n, err := tr.Add(t.Context(), baseSet(t), LoaderFiles...); n != 4 || err != nil {
		t.Fatalf("%d entries, %v; want the loader's 4", n, err)
	}
	got := finished(t, tr)
	for _, want := range []string{"./boot type=dir uname=root gname=wheel mode=0750", "./boot/loader.efi type=file", "./boot/lua/core.lua type=file"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "usr") || strings.Contains(got, "tmp") {
		t.Errorf("more than what is wanted:\n%s", got)
	}
	_, err := tree(t, Limits{}).Add(t.Context(), baseSet(t), KernelFiles...)
	refused(t, err, true, "has nothing of boot/kernel")
	_, err = tree(t, Limits{}).Add(t.Context(), baseSet(t), "boot/loader.efi")
	refused(t, err, true, "take it too")
}

// TestRealTar unpacks what a real tar and xz made.
func TestRealTar(t *testing.T) {
	src := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(src, "boot/kernel"), 0o755),
		os.WriteFile(filepath.Join(src, "boot/kernel/kernel"), noise(1, 200_000), 0o555),
		os.Symlink("kernel", filepath.Join(src, "boot/kernel/link"))); err != nil {
		t.Fatal(err)
	}
	packed := tool(t, nil, "tar", "-C", src, "-cJf", "-", ".")
	tr := tree(t, Limits{})
	if n, err := tr.Add(t.Context(), written(t, packed), KernelFiles...); n != 3 || err != nil {
		t.Fatalf("%d entries, %v; want 3", n, err)
	}
	got, err := os.ReadFile(filepath.Join(tr.dir, "boot/kernel/kernel"))
	if err != nil || !bytes.Equal(got, noise(1, 200_000)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestMakefsReadsTheMetalog makes a file system and looks for the mode that the
// folder does not have.
func TestMakefsReadsTheMetalog(t *testing.T) {
	makefs, err := exec.LookPath("makefs")
	if err != nil {
		t.Skip("makefs is not installed")
	}
	tr := tree(t, Limits{})
	// makefs looks names up in the host's files, and takes flags from FreeBSD's own.
	plain := file("./sbin/tool", "tool")
	plain.Mode, plain.Uname, plain.Gname, plain.Uid, plain.Gid = 0o4511, "", "", 1234, 5678
	if _, err := tr.Add(t.Context(), set(t, plain, link(tar.TypeSymlink, "./a b", "sbin/tool"))); err != nil {
		t.Fatal(err)
	}
	spec := strings.ReplaceAll(strings.ReplaceAll(finished(t, tr), "uname=root", "uid=0"), "gname=wheel", "gid=0")
	specFile, out := written(t, []byte(spec)), filepath.Join(t.TempDir(), "fs")
	got, err := exec.CommandContext(t.Context(), makefs, "-t", "ffs", "-x", "-M", "1m", "-F", specFile, out, tr.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("makefs: %v\n%s\n%s", err, got, spec)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	// struct ufs1_dinode: mode, links; size at 8; uid and gid at 112 (sys/ufs/ufs/dinode.h).
	want := false
	for at := 0; at+128 <= len(raw); at += 128 {
		d := raw[at:]
		if d[0] == 0x49 && d[1] == 0x89 && d[8] == 4 && d[112] == 0xd2 && d[113] == 4 && d[116] == 0x2e && d[117] == 0x16 {
			want = true
		}
	}
	if !want || !bytes.Contains(raw, []byte("a b\x00")) {
		t.Errorf("no inode of mode 04511, owner 1234:5678 and 4 bytes in %d bytes; spec:\n%s", len(raw), spec)
	}
}

func TestVisIsReversible(t *testing.T) {
	for _, s := range []string{"plain", "a b", `back\slash`, "#x*?[=", "\x00\xff\n", "umlaut ä"} {
		v := vis(s)
		var back []byte
		for i := 0; i < len(v); i++ {
			if v[i] != '\\' {
				back = append(back, v[i])
				continue
			}
			back = append(back, (v[i+1]-'0')<<6|(v[i+2]-'0')<<3|(v[i+3]-'0'))
			i += 3
		}
		if string(back) != s || strings.ContainsAny(v, " \n\x00#") {
			t.Errorf("%q: %q reads as %q", s, v, back)
		}
	}
}
