package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// past is a time that no file of a test was made at.
var past = time.Unix(1e9, 0)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func requireMakefs(t *testing.T) {
	t.Helper()
	if _, err := findMakefs(makefsPlaces...); err != nil {
		t.Skip(err)
	}
}

// fixture makes a disk of everything that can be on one, from host files in a
// new folder.
func fixture(t *testing.T) Disk {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, content []byte) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o640); err != nil {
			t.Fatal(err)
		}
		return name
	}
	d := Disk{Arch: "amd64", Loader: put("loader.efi", bytes.Repeat([]byte("loader"), 30_000)), Free: 3 << 20}
	kernel := put("kernel", bytes.Repeat([]byte("kernel text\n"), 100_000)) // needs an indirect block
	d.Files = []File{
		{Path: "/boot/kernel/kernel", Mode: 0o555, Source: kernel},
		{Path: "/boot/kernel/same", Mode: 0o444, Source: kernel, UID: 7},
		{Path: "/agent", Mode: 0o755, Data: []byte("an agent")},
		{Path: "/empty", Mode: 0o600},
		{Path: "/dev", Mode: fs.ModeDir | 0o555},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/su", Mode: fs.ModeSetuid | 0o711, Data: []byte("s"), UID: 65534, GID: 5},
		{Path: "/a name #with *signs=ä", Mode: 0o644, Data: []byte("odd")},
		{Path: "/short", Mode: fs.ModeSymlink | 0o777, Link: "a name #with"},
		{Path: "/long", Mode: fs.ModeSymlink | 0o777, Link: "/" + strings.Repeat("long/", 40)},
	}
	for i := range 300 {
		d.Files = append(d.Files, File{Path: fmt.Sprintf("/many/file%04d", i), Mode: 0o644, Data: []byte{byte(i)}})
	}
	return d
}

func mustWrite(t *testing.T, d Disk) string {
	t.Helper()
	requireMakefs(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "disk.img")
	var log bytes.Buffer
	if err := Write(t.Context(), name, d, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	onlyThere(t, dir, "disk.img")
	return name
}

func onlyThere(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("in the folder: %q, want %q", got, want)
	}
}

func TestWrittenIsWhatWasAskedFor(t *testing.T) {
	d := fixture(t)
	name := mustWrite(t, d)
	r := openUFS(t, rootOf(t, name))
	got := r.walk(t)
	want := map[string]File{"/": folder("/").File, "/boot": folder("/").File, "/boot/kernel": folder("/").File, "/many": folder("/").File}
	for _, f := range d.Files {
		if f.Source != "" {
			f.Data, _ = os.ReadFile(f.Source)
		}
		want[f.Path] = f
	}
	if g, w := sortedKeys(got), sortedKeys(want); !slices.Equal(g, w) {
		t.Fatalf("got %q\nwant %q", g, w)
	}
	for p, w := range want {
		g := got[p]
		if g.mode != w.Mode || g.uid != w.UID || g.gid != w.GID || g.link != w.Link {
			t.Errorf("%s: %v %d:%d %q, want %v %d:%d %q", p, g.mode, g.uid, g.gid, g.link, w.Mode, w.UID, w.GID, w.Link)
		}
		if g.mtime != epoch || g.atime != epoch || g.ctime != epoch {
			t.Errorf("%s: times %d, %d, %d", p, g.mtime, g.atime, g.ctime)
		}
		if w.Mode.IsRegular() && !bytes.Equal(g.content, w.Data) {
			t.Errorf("%s: %d bytes, want %d", p, len(g.content), len(w.Data))
		}
		if !w.Mode.IsDir() && g.nlink != 1 {
			t.Errorf("%s: %d names", p, g.nlink)
		}
	}
	if free := int64(r.freeBlocks*r.bsize + r.freeFragments*r.fsize); free < d.Free {
		t.Errorf("%d bytes free, want %d", free, d.Free)
	}
	if r.freeInodes < spareInodes {
		t.Errorf("%d inodes free", r.freeInodes)
	}
	disk, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	loader, _ := os.ReadFile(d.Loader)
	esp, _ := newFAT(fatFile{"BOOT", "BOOTX64.EFI", loader})
	if boot, err := readFAT(disk[align*sectorSize:][:esp.size()], "EFI        ", "BOOT       ", "BOOTX64 EFI"); err != nil || !bytes.Equal(boot, loader) {
		t.Errorf("loader: %d bytes, %v", len(boot), err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	if on := st.Blocks * 512; on > st.Size/2 {
		t.Errorf("%d of %d bytes are on the host's disk: not sparse", on, st.Size)
	}
}

func digest(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// Where and when the files lie, who owns them, what their host times are and what
// memory makefs got: nothing of it shows.
func TestEqualInputsGiveEqualBytes(t *testing.T) {
	a := fixture(t)
	first := digest(t, mustWrite(t, a))

	b := fixture(t)
	slices.Reverse(b.Files)
	for _, f := range b.Files {
		if f.Source != "" {
			if err := os.Chmod(f.Source, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(f.Source, past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("TZ", "Asia/Kathmandu")
	if second := digest(t, mustWrite(t, b)); second != first {
		t.Error("the same files gave another disk")
	}

	b.Files[0].Mode ^= 0o100
	if third := digest(t, mustWrite(t, b)); third == first {
		t.Error("another mode gave the same disk")
	}
}

func TestInstalledTree(t *testing.T) {
	metalog := installed(t, `#mtree 2.0
. type=dir uname=root gname=wheel mode=0755
./bin type=dir uname=root gname=wheel mode=0755
./bin/sh type=file uname=root gname=wheel mode=0555
./bin/old type=file uname=root gname=wheel mode=0555
./rescue type=dir uname=root gname=wheel mode=0755
./rescue/sh type=file uname=root gname=wheel mode=0555
./etc type=dir uname=root gname=wheel mode=0755
./etc/rc type=file uname=root gname=wheel mode=0600
./sys type=link mode=0755 link=usr/src/sys
`, map[string]string{"bin/sh": "shell", "bin/old": "not wanted", "etc/rc": "start", "unnamed": "not in METALOG"})
	root := filepath.Dir(metalog)
	if err := os.Mkdir(filepath.Join(root, "rescue"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(root, "bin/sh"), filepath.Join(root, "rescue/sh")); err != nil {
		t.Fatal(err)
	}
	d := Disk{Arch: "arm64", Loader: filepath.Join(root, "bin/sh"), Metalog: metalog, Files: []File{
		{Path: "/etc/rc.conf", Mode: 0o644, Data: []byte("hostname=guest\n")},
		{Path: "/bin/old", Mode: 0o500, Data: []byte("replaced")},
	}}
	name := mustWrite(t, d)
	got := openUFS(t, rootOf(t, name)).walk(t)
	want := []string{"/", "/bin", "/bin/old", "/bin/sh", "/etc", "/etc/rc", "/etc/rc.conf", "/rescue", "/rescue/sh", "/sys"}
	if keys := sortedKeys(got); !slices.Equal(keys, want) {
		t.Fatalf("got %q", keys)
	}
	if sh := got["/bin/sh"]; sh.nlink != 2 || sh.ino != got["/rescue/sh"].ino || string(sh.content) != "shell" {
		t.Errorf("hard link: %+v, %+v", sh, got["/rescue/sh"])
	}
	if old := got["/bin/old"]; string(old.content) != "replaced" || old.mode != 0o500 {
		t.Errorf("replaced file: %+v", old)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "bin/old")); string(b) != "not wanted" {
		t.Errorf("the installed tree was changed: %q", b)
	}
	if esp, _ := os.ReadFile(name); !bytes.Contains(esp[:4<<20], []byte("BOOTAA64EFI")) {
		t.Error("no loader for arm64")
	}
}

func TestBadDisks(t *testing.T) {
	requireMakefs(t)
	good := fixture(t)
	file := func(f File) func(*Disk) { return func(d *Disk) { d.Files = append(d.Files, f) } }
	for want, change := range map[string]func(*Disk){
		`architecture "riscv"`:                        func(d *Disk) { d.Arch = "riscv" },
		"no loader.efi is named":                      func(d *Disk) { d.Loader = "" },
		"loader: open /nonexistent":                   func(d *Disk) { d.Loader = "/nonexistent" },
		"-1 bytes to leave free":                      func(d *Disk) { d.Free = -1 },
		"METALOG of the installed tree":               func(d *Disk) { d.Metalog = "/nonexistent/METALOG" },
		`file "etc/rc": want an absolute, clean path`: file(File{Path: "etc/rc"}),
		`file "/a/../b"`:                              file(File{Path: "/a/../b"}),
		`file "/": want`:                              file(File{Path: "/"}),
		"/agent: named twice":                         file(File{Path: "/agent"}),
		"/agent/x: lies below /agent":                 file(File{Path: "/agent/x"}),
		"/x: mode p---------":                         file(File{Path: "/x", Mode: fs.ModeNamedPipe}),
		"/x: both a source and data":                  file(File{Path: "/x", Source: "a", Data: []byte("a")}),
		"/x: content for a folder":                    file(File{Path: "/x", Mode: fs.ModeDir, Data: []byte("a")}),
		"/x: want a symbolic link's target":           file(File{Path: "/x", Mode: fs.ModeSymlink}),
		"/x: a link's target for a regular file":      file(File{Path: "/x", Link: "y"}),
		"/x: owner -1:0":                              file(File{Path: "/x", UID: -1}),
		"holds a zero byte":                           file(File{Path: "/x\x00"}),
		"/x: lstat /nonexistent: no such file":        file(File{Path: "/x", Source: "/nonexistent"}),
		"/x: /dev/null is not a regular file":         file(File{Path: "/x", Source: "/dev/null"}),
	} {
		d := good
		d.Files = slices.Clone(good.Files)
		change(&d)
		dir := t.TempDir()
		err := Write(t.Context(), filepath.Join(dir, "disk"), d, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
		onlyThere(t, dir)
	}
}

func TestCancelled(t *testing.T) {
	requireMakefs(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	dir := t.TempDir()
	// As soon as makefs is about to start.
	err := Write(ctx, filepath.Join(dir, "disk"), fixture(t), writerFunc(func([]byte) { cancel(why) }))
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	onlyThere(t, dir)
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }
