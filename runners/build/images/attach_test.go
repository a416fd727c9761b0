package images

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

// attach writes content to a file and attaches that as debug.
func attach(t *testing.T, s *Store, img runners.Image, content []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kernel.debug")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return s.Attach(t.Context(), img.ID, "debug", path)
}

// attached reads it back.
func attached(t *testing.T, s *Store, img runners.Image) ([]byte, error) {
	t.Helper()
	path, err := s.Attached(t.Context(), img.ID, "debug", t.TempDir())
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil || filepath.Base(path) != "debug" {
		t.Fatal(path, err)
	}
	return content, nil
}

func TestAttach(t *testing.T) {
	s := testStore(t)
	kernel := BytesArtifact(RoleKernel, []byte("kernel"))
	img := mustPut(t, s, kernel)
	if _, err := attached(t, s, img); !errors.Is(err, ErrNotAttached) || !strings.Contains(err.Error(), img.ID) {
		t.Errorf("nothing attached: %v", err)
	}
	first := append(noise(1, 100_000), bytes.Repeat([]byte("lines "), 100_000)...)
	for _, content := range [][]byte{first, []byte("of an equal kernel with other lines")} {
		if err := attach(t, s, img, content); err != nil {
			t.Fatal(err)
		}
		if got, err := attached(t, s, img); err != nil || !bytes.Equal(got, first) {
			t.Errorf("the first did not stay: %d bytes, %v", len(got), err)
		}
	}
	if st, err := os.Stat(filesBelow(t, s.path("attached"))[0]); err != nil || st.Size() > int64(len(first))/4 {
		t.Errorf("not compressed: %v, %v", st.Size(), err)
	}
	if again := mustPut(t, s, kernel); again != img {
		t.Errorf("the image is another: %v, was %v", again, img)
	}
	wantClean(t, s)
	reopened, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := attached(t, reopened, img); err != nil || !bytes.Equal(got, first) {
		t.Errorf("after opening again: %d bytes, %v", len(got), err)
	}
}

func TestAttachRefuses(t *testing.T) {
	s := testStore(t)
	img := mustPut(t, s, BytesArtifact(RoleKernel, []byte("kernel")))
	gone := runners.Image{ID: "sha256:" + strings.Repeat("0", 64)}
	if err := attach(t, s, gone, []byte("x")); !errors.Is(err, ErrNoImage) {
		t.Errorf("no image: %v", err)
	}
	if _, err := attached(t, s, gone); !errors.Is(err, ErrNoImage) {
		t.Errorf("no image: %v", err)
	}
	for _, name := range []string{"", ".", "../x", "a/b", "Debug", strings.Repeat("a", 65)} {
		if err := s.Attach(t.Context(), img.ID, name, os.DevNull); err == nil || !strings.Contains(err.Error(), "cannot be attached") {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := s.Attached(t.Context(), img.ID, name, t.TempDir()); err == nil || errors.Is(err, ErrNotAttached) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := s.Attach(t.Context(), img.ID, "debug", filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Attach(ctx, img.ID, "debug", os.Args[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := attached(t, s, img); !errors.Is(err, ErrNotAttached) {
		t.Errorf("half of something: %v", err)
	}
	if left := append(filesBelow(t, s.path("attached")), filesBelow(t, s.path("tmp"))...); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

// TestDamagedAttachment flips bits: nothing of it may be given out, the check must
// see it, and repairing it costs the attachment alone.
func TestDamagedAttachment(t *testing.T) {
	s := testStore(t)
	img := mustPut(t, s, BytesArtifact(RoleKernel, []byte("kernel")))
	if err := attach(t, s, img, append(noise(2, 5000), bytes.Repeat([]byte("abc"), 5000)...)); err != nil {
		t.Fatal(err)
	}
	file := filesBelow(t, s.path("attached"))[0]
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := s.Attached(t.Context(), img.ID, "debug", dir)
		c, ok := errors.AsType[*CorruptError](err)
		if !ok || c.Beside != "debug" || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "fsck --repair") {
			t.Fatalf("%s: %v", what, err)
		}
		if left := filesBelow(t, dir); len(left) != 0 {
			t.Fatalf("%s: left %v", what, left)
		}
	}
	for _, bit := range rand.New(rand.NewPCG(3, 4)).Perm(len(sound) * 8)[:100] {
		data := bytes.Clone(sound)
		data[bit/8] ^= 1 << (bit % 8)
		broken("flipped", data)
	}
	broken("empty", nil)
	broken("cut", sound[:len(sound)-1])
	broken("longer", append(bytes.Clone(sound), 0))
	writeFile(t, s.dir, "attached/stray", "x")
	orphan := strings.Repeat("0", 64) + ".debug.zst"
	writeFile(t, s.dir, "attached/"+orphan, "x")
	found, err := s.Check(t.Context())
	if err != nil || len(found) != 3 {
		t.Fatalf("found %v, %v; want the damaged, the stray and the orphan", found, err)
	}
	for _, f := range found {
		if (f.Problem == DamagedBeside) != (f.Path == file) || f.Problem != DamagedBeside && f.Problem != LeftOver {
			t.Errorf("finding %v", f)
		}
	}
	if err := s.Repair(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	wantClean(t, s)
	if _, err := s.Open(t.Context(), img.ID, t.TempDir()); err != nil {
		t.Errorf("the image did not survive: %v", err)
	}
	if err := attach(t, s, img, []byte("again")); err != nil {
		t.Fatal(err)
	}
	if got, err := attached(t, s, img); err != nil || string(got) != "again" {
		t.Errorf("attached again: %q, %v", got, err)
	}
}

func TestAttachmentsGoWithTheirImage(t *testing.T) {
	s := testStore(t)
	var list []runners.Image
	for _, name := range []string{"one", "two", "three"} {
		img := mustPut(t, s, BytesArtifact(RoleKernel, []byte(name)))
		if err := attach(t, s, img, noise(1, 10_000)); err != nil {
			t.Fatal(err)
		}
		list = append(list, img)
	}
	if err := s.Drop(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	if left := filesBelow(t, s.path("attached")); len(left) != 2 {
		t.Errorf("after the drop: %v", left)
	}
	keep := map[string]bool{list[2].ID: true}
	_, would, err := s.Garbage(keep, 0)
	if err != nil {
		t.Fatal(err)
	}
	freed, err := s.Collect(t.Context(), keep, 0)
	if err != nil || freed != would || freed.Images != 1 || freed.Bytes < 10_000 {
		t.Errorf("foretold %+v, freed %+v, %v", would, freed, err)
	}
	if got, err := attached(t, s, list[2]); err != nil || len(got) != 10_000 {
		t.Errorf("the one that stays: %d bytes, %v", len(got), err)
	}
	// What a killed collection left goes when the store is opened.
	if err := os.Remove(s.manifestPath(list[2].ID)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if left := filesBelow(t, s.dir); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

// TestKilledInMidAttach feeds a child that attaches from a pipe, and kills it there.
func TestKilledInMidAttach(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	img := mustPut(t, s, BytesArtifact(RoleKernel, []byte("kernel")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	cmd := child(t, "attach", dir, img.ID, pipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(noise(3, 8<<20)); err != nil { // all but the pipe's buffer is in the child
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if left := filesBelow(t, filepath.Join(dir, "tmp")); len(left) != 1 {
		t.Errorf("killed while writing, but left %v", left)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantClean(t, again)
	if _, err := attached(t, again, img); !errors.Is(err, ErrNotAttached) {
		t.Errorf("half of a file: %v", err)
	}
}

// childAttach attaches what it reads from a pipe.
func childAttach(dir, id, pipe string) {
	s, err := Open(dir)
	if err != nil {
		panic(err)
	}
	if err := s.Attach(context.Background(), id, "debug", pipe); err != nil {
		panic(err)
	}
}

// TestAttachAtOnce has two stores of one folder attach to one image, which comes
// and goes: what is read is whole and one of the two, and nothing stays.
func TestAttachAtOnce(t *testing.T) {
	s := testStore(t)
	beside, err := Share(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	kernel := BytesArtifact(RoleKernel, []byte("kernel"))
	img := mustPut(t, s, kernel)
	var wg sync.WaitGroup
	for w, store := range []*Store{s, beside} {
		wg.Go(func() {
			for range 20 {
				if err := attach(t, store, img, noise(uint64(w), 50_000)); err != nil && !errors.Is(err, ErrNoImage) {
					t.Error(err)
				}
				got, err := attached(t, store, img)
				if err != nil && !errors.Is(err, ErrNoImage) && !errors.Is(err, ErrNotAttached) {
					t.Error(err)
				}
				if err == nil && !bytes.Equal(got, noise(0, 50_000)) && !bytes.Equal(got, noise(1, 50_000)) {
					t.Error("other content came back")
				}
			}
		})
	}
	for range 20 {
		if err := s.Drop(t.Context(), img.ID); err != nil {
			t.Error(err)
		}
		mustPut(t, s, kernel)
	}
	wg.Wait()
	wantClean(t, s)
	if err := s.Drop(t.Context(), img.ID); err != nil {
		t.Fatal(err)
	}
	if left := filesBelow(t, s.dir); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}
