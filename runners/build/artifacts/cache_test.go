package artifacts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

func itoa(n int) string { return strconv.Itoa(n) }

func etag(b []byte) string { return `"` + itoa(len(b)) + `"` }

func entriesOf(t *testing.T, c *Cache) []entry {
	t.Helper()
	entries, err := c.entries()
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestOneDownloadForMany: two caches over one folder stand for two processes.
func TestOneDownloadForMany(t *testing.T) {
	s := serve(t, published(t))
	f := fetcher(t, Options{})
	other, err := OpenCache(f.cache.dir, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	g := fetcherOf(t, other, Options{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			fetched(t, []*Fetcher{f, g}[i%2], s.place(), []string{Kernel, TestImage}[i/8], s.files[s.path([]string{Kernel, TestImage}[i/8])])
		})
	}
	wg.Wait()
	for _, name := range []string{Kernel, TestImage} {
		if got := s.requests(name); len(got) != 1 {
			t.Errorf("%s: %d requests, want one: %q", name, len(got), got)
		}
	}
	if left, err := filepath.Glob(filepath.Join(f.cache.dir, "parts", "*")); len(left) > 0 || err != nil {
		t.Errorf("left in parts: %q, %v", left, err)
	}
}

// TestEviction: what was used last stays, what is in use stays whatever.
func TestEviction(t *testing.T) {
	dir := "/snapshot/main/" + someCommit + "/amd64/amd64/"
	files := make(map[string][]byte)
	for i := range 4 {
		files[fmt.Sprintf("%sf%d.txz", dir, i)] = packZstd(t, noise(uint64(i), 1<<20-1000)) // 1 MiB each
	}
	s := serve(t, files)
	c, err := OpenCache(t.TempDir(), 2<<20+4096)
	if err != nil {
		t.Fatal(err)
	}
	f := fetcherOf(t, c, Options{})
	fetch := func(i int) *File {
		t.Helper()
		file, err := f.Fetch(t.Context(), s.place(), fmt.Sprintf("f%d.txz", i))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	age := func(file *File, d time.Duration) {
		t.Helper()
		at := time.Now().Add(-d)
		if err := os.Chtimes(file.Path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	there := func(file *File) bool { _, err := os.Stat(file.Path); return err == nil }
	f0, f1 := fetch(0), fetch(1)
	age(f0, 2*time.Hour)
	age(f1, time.Hour)
	f1.Close()
	f2 := fetch(2)
	if !there(f0) || there(f1) || !there(f2) {
		t.Errorf("in use %v, free %v, new %v: want the free one gone", there(f0), there(f1), there(f2))
	}
	if _, err := f.Fetch(t.Context(), s.place(), "f3.txz"); !errors.Is(err, errCacheFull) {
		t.Errorf("all in use: %v", err)
	}
	f0.Close()
	f2.Close()
	fetch(0).Close() // used just now, so that f2 is the one to go
	age(f2, time.Hour)
	fetch(3).Close()
	if !there(f0) || there(f2) {
		t.Errorf("used last %v, unused %v: want the unused one gone", there(f0), there(f2))
	}
	if used, n, err := c.Used(); used > c.limit || n != 2 || err != nil {
		t.Errorf("%d bytes in %d files, %v; want 2 files, at most %d bytes", used, n, err, c.limit)
	}
}

// TestPartsGiveWay: what was begun and given up counts, with all its length.
func TestPartsGiveWay(t *testing.T) {
	s := serve(t, published(t))
	f := fetcher(t, Options{Attempts: 1})
	s.misbehave(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, Kernel) {
			cut(w, 1<<20, noise(1, 1000))
			return true
		}
		return false
	})
	if _, err := f.Fetch(t.Context(), s.place(), Kernel); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if used, _, err := f.cache.Used(); used != 1<<20 || err != nil {
		t.Errorf("%d bytes used, %v; want the whole length", used, err)
	}
	f.cache.limit = 1 << 20
	fetched(t, f, s.place(), TestImage, s.files[s.path(TestImage)])
	if left, err := filepath.Glob(filepath.Join(f.cache.dir, "parts", "*")); len(left) > 0 || err != nil {
		t.Errorf("left in parts: %q, %v", left, err)
	}
}

func TestDamageInTheCacheHeals(t *testing.T) {
	s := serve(t, published(t))
	f := fetcher(t, Options{})
	kernel := s.files[s.path(Kernel)]
	fetched(t, f, s.place(), Kernel, kernel)
	object := entriesOf(t, f.cache)[0].path
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { b[100] ^= 1; return b },
		func(b []byte) []byte { return b[:len(b)/2] },
	} {
		if err := errors.Join(os.Chmod(object, 0o644), os.WriteFile(object, damage(bytes.Clone(kernel)), 0o644)); err != nil {
			t.Fatal(err)
		}
		fetched(t, f, s.place(), Kernel, kernel)
	}
	if got := s.requests(Kernel); len(got) != 3 {
		t.Errorf("%d requests, want three", len(got))
	}
	record := f.cache.path("records", key(s.URL+s.path(Kernel))+".json")
	if err := os.WriteFile(record, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := f.Fetch(t.Context(), s.place(), Kernel)
	refused(t, err, false, "remove that file")
}

func TestDiskFull(t *testing.T) {
	if err := enoughSpace(t.TempDir(), 1<<60); !errors.Is(err, errNoSpace) || !strings.Contains(err.Error(), "bytes free") {
		t.Errorf("an exbibyte: %v", err)
	}
	var infra *runners.InfraError
	if err := fault("x", &fs.PathError{Op: "write", Path: "p", Err: errNoSpace}); !errors.As(err, &infra) || !strings.Contains(infra.Hint, "free space") {
		t.Errorf("%v", err)
	}
	// A file in the place of the folder is the rig's fault too, with a reason.
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(name, 1); !errors.As(err, &infra) {
		t.Errorf("%v", err)
	}
}

// TestLockFileComesAndGoes: many take turns on a lock whose file each removes.
func TestLockFileComesAndGoes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	var inside, turns atomic.Int32 // the race detector does not know flock
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				l, err := acquire(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				turns.Add(1)
				inside.Add(-1)
				if err := l.release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(name); turns.Load() != 40 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d turns, then %v", turns.Load(), err)
	}
}
