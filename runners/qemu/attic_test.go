package qemu

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

func requireMemoryFiles(t *testing.T) {
	t.Helper()
	if !freezes {
		t.Skip("no templates on this system")
	}
}

// still is a frozen machine with something in each part.
func still(t *testing.T) *frozen {
	t.Helper()
	requireMemoryFiles(t)
	f := &frozen{meta: meta{
		Facts:   runners.Facts{BootID: "b1", Kernel: "6.1", BootTime: 5 * time.Second, MACs: []string{"52:54:00:68:77:00"}},
		Console: "Linux version\n", Speaks: []bool{true}, Memory: 4 << 20,
	}}
	for _, part := range []struct {
		to   **os.File
		name string
		data string
		at   int64
		size int64
	}{{&f.ram, ramName, "memory", 3<<20 + 5, 4 << 20}, {&f.state, stateName, "devices", 0, 0}, {&f.overlay, overlayName, "disk", 70000, 0}} {
		file, err := memoryFile(part.name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		if _, err := file.WriteAt([]byte(part.data), part.at); err != nil {
			t.Fatal(err)
		}
		if part.size > 0 {
			if err := file.Truncate(part.size); err != nil {
				t.Fatal(err)
			}
		}
		*part.to = file
	}
	return f
}

// newAttic is an attic, and what it says instead of failing.
func newAttic(t *testing.T, limit int64) (*attic, *bytes.Buffer) {
	var said bytes.Buffer
	return &attic{dir: filepath.Join(t.TempDir(), "templates"), limit: limit, log: slog.New(slog.NewTextHandler(&said, nil))}, &said
}

func contents(t *testing.T, f *os.File) []byte {
	t.Helper()
	again, err := again(f, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	st, err := again.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, st.Size())
	if _, err := again.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// kept lists what is in an attic's folder.
func kept(t *testing.T, a *attic) []string {
	t.Helper()
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAtticGivesBackWhatItGot(t *testing.T) {
	f := still(t)
	a, said := newAttic(t, 1<<30)
	lock := a.save("k1", f)
	if lock == nil {
		t.Fatal(said)
	}
	lock.Close()
	got, lock := a.load("k1")
	if got == nil {
		t.Fatal(said)
	}
	defer lock.Close()
	defer got.close()
	want := f.meta
	want.Digests = got.meta.Digests
	if d := cmp.Diff(want, got.meta); d != "" || len(got.meta.Digests) != 3 {
		t.Error(d, got.meta.Digests)
	}
	for name, was := range f.files() {
		if !bytes.Equal(contents(t, was), contents(t, got.files()[name])) {
			t.Errorf("%s is not what it was", name)
		}
	}
	if _, err := got.ram.WriteAt([]byte("x"), 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a guest's memory can be written: %v", err)
	}
	if st, err := os.Stat(filepath.Join(a.dir, "k1", ramName)); err != nil || st.Mode().Perm() != 0o600 || occupies(st) > 64<<10 {
		t.Errorf("%v, %v: want a private file with holes", st, err)
	}
	if none, _ := a.load("k2"); none != nil || said.Len() != 0 {
		t.Errorf("a template that was never kept: %v, %s", none, said)
	}
}

func TestAtticRefusesDamage(t *testing.T) {
	for _, name := range []string{ramName, stateName, overlayName, metaName} {
		for _, at := range []int64{0, 5000} {
			a, said := newAttic(t, 1<<30)
			lock := a.save("k1", still(t))
			if lock == nil {
				t.Fatal(said)
			}
			lock.Close()
			file, err := os.OpenFile(filepath.Join(a.dir, "k1", name), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteAt([]byte{0xff}, at); err != nil {
				t.Fatal(err)
			}
			file.Close()
			if f, _ := a.load("k1"); f != nil || !strings.Contains(said.String(), "damaged") {
				t.Errorf("%s with another byte %d is taken: %s", name, at, said)
			}
			if left := kept(t, a); len(left) != 0 {
				t.Errorf("%s damaged: %v is left", name, left)
			}
		}
	}
}

func TestAtticIsBounded(t *testing.T) {
	a, said := newAttic(t, 1<<30)
	one := a.save("used", still(t))
	if one == nil {
		t.Fatal(said)
	}
	defer one.Close()
	for i, key := range []string{"old", "new"} {
		lock := a.save(key, still(t))
		if lock == nil {
			t.Fatal(said)
		}
		lock.Close()
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(a.dir, key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	half := filepath.Join(a.dir, halfPrefix+"dead")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	a.limit = 2*sizeOf(filepath.Join(a.dir, "new")) + 1
	a.collect()
	if got := kept(t, a); !slices.Equal(got, []string{"new", "used"}) {
		t.Errorf("%v: want the one in use and the one used last", got)
	}
	a.limit = 0
	a.collect()
	if got := kept(t, a); !slices.Equal(got, []string{"used"}) {
		t.Errorf("%v: want the one in use only", got)
	}
	if again := a.save("used", still(t)); again != nil || !strings.Contains(said.String(), "not kept") {
		t.Errorf("a second of the same: %s", said)
	}
	if got := kept(t, a); !slices.Equal(got, []string{"used"}) {
		t.Errorf("%v: a half one is left", got)
	}
}

func TestAddress(t *testing.T) {
	a, b := address(1, 0), address(1, 0)
	if !bytes.Equal(a, b) || a[0]&3 != 2 {
		t.Errorf("%s and %s: want one local address", a, b)
	}
	if bytes.Equal(a, address(1, 1)) || bytes.Equal(a, address(2, 0)) || bytes.Equal(address(0, 0), address(0, 0)) {
		t.Error("two NICs share an address")
	}
}
