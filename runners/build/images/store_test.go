package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

var testManifest = Manifest{OS: "linux", Arch: "amd64", Release: "6.1", Cmdline: "quiet <&>"}

// noise is content that does not compress.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

func mustPut(t *testing.T, s *Store, parts ...Artifact) runners.Image {
	t.Helper()
	img, err := s.Put(t.Context(), testManifest, parts...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func wantClean(t *testing.T, s *Store) {
	t.Helper()
	found, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("check: %v", f)
	}
}

func TestStoreRoundTrip(t *testing.T) {
	s := testStore(t)
	kernel, one, two := noise(1, 300_000), bytes.Repeat([]byte("common "), 100_000), []byte{}
	img := mustPut(t, s, BytesArtifact(RoleKernel, kernel), BytesArtifact(RoleInitrd, one), BytesArtifact(RoleInitrd, two), BytesArtifact(RoleInitrd, []byte("end")))
	dir := filepath.Join(t.TempDir(), "machine")
	b, err := s.Open(t.Context(), img.ID, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := runners.Bootable{Image: img, Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"), Cmdline: testManifest.Cmdline}
	if d := cmp.Diff(want, b); d != "" {
		t.Error(d)
	}
	if img.Size != int64(len(kernel)+len(one)+3) {
		t.Errorf("size %d", img.Size)
	}
	gotKernel, _ := os.ReadFile(b.Kernel)
	gotInitrd, _ := os.ReadFile(b.Initrd)
	if !bytes.Equal(gotKernel, kernel) || !bytes.Equal(gotInitrd, append(one, "end"...)) {
		t.Error("other content came back")
	}
	wantClean(t, s)
	// The folder is all there is to a store.
	again, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.List()
	if err != nil || len(list) != 1 || list[0].Image != img || list[0].Manifest.Release != "6.1" {
		t.Errorf("list: %+v, %v", list, err)
	}
}

// The form of a manifest is what ids are made of: changing it would make every
// image a new one.
func TestManifestGolden(t *testing.T) {
	m := testManifest
	m.Format = manifestFormat
	m.Blobs = []Blob{{RoleKernel, "sha256:" + strings.Repeat("0a", 32), 7}}
	text, img, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":1,"os":"linux","arch":"amd64","release":"6.1","cmdline":"quiet <&>","blobs":[{"role":"kernel","digest":"sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","size":7}]}`
	if string(text) != want {
		t.Errorf("manifest:\n%s", text)
	}
	if sum := sha256.Sum256([]byte(want)); img.ID != fmt.Sprintf("sha256:%x", sum) || img.Size != 7 {
		t.Errorf("image %+v", img)
	}
}

func TestPutRefuses(t *testing.T) {
	s := testStore(t)
	kernel := BytesArtifact(RoleKernel, []byte("k"))
	calls := 0
	unsteady := Artifact{Role: RoleKernel, Write: func(w io.Writer) error {
		calls++
		_, err := fmt.Fprint(w, calls)
		return err
	}}
	for name, parts := range map[string][]Artifact{
		"no blobs":     nil,
		"two kernels":  {kernel, BytesArtifact(RoleKernel, []byte("l"))},
		"unknown role": {BytesArtifact("firmware", []byte("f"))},
		"no role":      {BytesArtifact("", []byte("f"))},
		"unsteady":     {unsteady},
	} {
		if _, err := s.Put(t.Context(), testManifest, parts...); err == nil {
			t.Errorf("%s: put", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, testManifest, kernel); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled put: %v", err)
	}
	if left := filesBelow(t, s.dir); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

func TestOpenUnknown(t *testing.T) {
	s := testStore(t)
	_, err := s.Open(t.Context(), "sha256:"+strings.Repeat("0", 64), t.TempDir())
	if !errors.Is(err, ErrNoImage) {
		t.Errorf("got %v", err)
	}
	for _, id := range []string{"", "sha256:", "sha256:../../../etc/passwd", strings.Repeat("0", 64)} {
		if _, err := s.Open(t.Context(), id, t.TempDir()); err == nil || errors.Is(err, ErrNoImage) {
			t.Errorf("open %q: %v", id, err)
		}
	}
}

// TestFlippedBits flips bits all over a blob's file, among them those that
// decoders ignore, and cuts and lengthens it: nothing of it may open.
func TestFlippedBits(t *testing.T) {
	s := testStore(t)
	content := append(noise(2, 20_000), bytes.Repeat([]byte("abc"), 20_000)...)
	img := mustPut(t, s, BytesArtifact(RoleKernel, content))
	dir := t.TempDir()
	blob := filesBelow(t, s.path("blobs"))[0]
	sound, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(blob, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := s.Open(t.Context(), img.ID, dir)
		c, ok := errors.AsType[*CorruptError](err)
		if !ok || c.Image != img.ID || c.Role != RoleKernel || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "headwatch fsck --repair") {
			t.Fatalf("%s: got %v", what, err)
		}
		if left := filesBelow(t, dir); len(left) != 0 {
			t.Fatalf("%s: left %v", what, left)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	bits := r.Perm(len(sound) * 8)[:200]
	for bit := range 16 * 8 { // the frame's header
		bits = append(bits, bit)
	}
	for bit := range blobTrailerLen * 8 {
		bits = append(bits, (len(sound)-blobTrailerLen)*8+bit)
	}
	for _, bit := range bits {
		data := bytes.Clone(sound)
		data[bit/8] ^= 1 << (bit % 8)
		broken(fmt.Sprintf("bit %d", bit), data)
	}
	for _, n := range []int{0, 1, blobTrailerLen - 1, blobTrailerLen, len(sound) - 1} {
		broken(fmt.Sprintf("cut to %d", n), sound[:n])
	}
	broken("one more byte", append(bytes.Clone(sound), 0))
	broken("twice", append(bytes.Clone(sound), sound...))
	if err := os.WriteFile(blob, sound, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), img.ID, dir); err != nil {
		t.Error(err)
	}
}

func TestDamageIsFoundAndRepaired(t *testing.T) {
	s := testStore(t)
	kernel := BytesArtifact(RoleKernel, noise(1, 1000))
	parts := [][]Artifact{
		{kernel, BytesArtifact(RoleInitrd, []byte("one"))},
		{kernel, BytesArtifact(RoleInitrd, []byte("two"))},
		{BytesArtifact(RoleDisk, []byte("other"))},
	}
	var images []runners.Image
	for _, p := range parts {
		images = append(images, mustPut(t, s, p...))
	}
	list, _ := s.List()
	m := list[slices.IndexFunc(list, func(e Entry) bool { return e.ID == images[0].ID })].Manifest
	if err := os.Remove(s.blobPath(m.Blobs[0].Digest)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.manifestPath(images[2].ID), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.dir, "blobs/stray", "x")
	writeFile(t, s.dir, "tmp/new-1", "x")
	writeFile(t, s.dir, "images/x.json", "x")
	found, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := map[Problem]int{}
	for _, f := range found {
		count[f.Problem]++
		if f.Problem == DamagedBlob && (len(f.Images) != 2 || f.Detail != "missing") {
			t.Errorf("finding %+v", f)
		}
	}
	want := map[Problem]int{DamagedBlob: 1, DamagedImage: 1, LeftOver: 3, OrphanBlob: 1}
	if d := cmp.Diff(want, count); d != "" {
		t.Error(d)
	}
	for i, img := range images {
		_, err := s.Open(t.Context(), img.ID, t.TempDir())
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			t.Errorf("image %d: %v", i, err)
		}
	}
	if err := s.Repair(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	wantClean(t, s)
	if left := filesBelow(t, s.dir); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
	for i, p := range parts {
		if again := mustPut(t, s, p...); again != images[i] {
			t.Errorf("built again: %v, was %v", again, images[i])
		}
	}
	wantClean(t, s)
}

func TestDropAndCollect(t *testing.T) {
	s := testStore(t)
	kernel := BytesArtifact(RoleKernel, noise(1, 1000))
	one := mustPut(t, s, kernel, BytesArtifact(RoleInitrd, []byte("one")))
	two := mustPut(t, s, kernel, BytesArtifact(RoleInitrd, []byte("two")))
	three := mustPut(t, s, kernel, BytesArtifact(RoleInitrd, []byte("three")))
	if n := len(filesBelow(t, s.path("blobs"))); n != 4 {
		t.Errorf("%d blobs, expected the kernel once and three initrds", n)
	}
	if err := s.Drop(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(t.Context(), one.ID); !errors.Is(err, ErrNoImage) {
		t.Errorf("drop twice: %v", err)
	}
	freed, err := s.Collect(t.Context(), map[string]bool{two.ID: true}, time.Hour)
	if err != nil || freed != (Freed{}) {
		t.Errorf("young images: freed %+v, %v", freed, err)
	}
	ids, would, err := s.Garbage(map[string]bool{two.ID: true}, 0)
	if err != nil || len(ids) != 1 || ids[0] != three.ID {
		t.Errorf("garbage %q, %v", ids, err)
	}
	freed, err = s.Collect(t.Context(), map[string]bool{two.ID: true}, 0)
	if freed != would {
		t.Errorf("foretold %+v, freed %+v", would, freed)
	}
	if err != nil || freed.Images != 1 || freed.Blobs != 1 || freed.Bytes == 0 {
		t.Errorf("freed %+v, %v", freed, err)
	}
	if _, err := s.Open(t.Context(), two.ID, t.TempDir()); err != nil {
		t.Error(err)
	}
	if _, err := s.Open(t.Context(), three.ID, t.TempDir()); !errors.Is(err, ErrNoImage) {
		t.Errorf("collected image: %v", err)
	}
	wantClean(t, s)
}

// Nothing is removed under the eyes of another process, and who was alone goes on
// sharing.
func TestAlone(t *testing.T) {
	s := testStore(t)
	beside, err := Share(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Alone(func() error { t.Error("not alone"); return nil }); !errors.Is(err, ErrInUse) {
		t.Errorf("beside another: %v", err)
	}
	if err := beside.Close(); err != nil {
		t.Fatal(err)
	}
	called := false
	if err := s.Alone(func() error { called = true; return nil }); err != nil || !called {
		t.Errorf("alone: %v, called: %v", err, called)
	}
	beside, err = Share(s.dir) // would wait for ever
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
}

// What lies there while another process puts is its own, not left over.
func TestOpenBesideAUserCleansNothing(t *testing.T) {
	dir := t.TempDir()
	beside, err := Share(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "tmp", "new-1")
	if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(want bool) {
		t.Helper()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("the file is there: %v, want %v", err == nil, want)
		}
	}
	open(true)
	if err := beside.Close(); err != nil {
		t.Fatal(err)
	}
	open(false)
}

// TestConcurrentUse lets puts, opens, checks and removals run against each
// other: what was put opens or is gone, and is never damaged.
func TestConcurrentUse(t *testing.T) {
	s := testStore(t)
	kernel := BytesArtifact(RoleKernel, noise(1, 50_000))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			dir := filepath.Join(t.TempDir(), "machine")
			for i := range 8 {
				img, err := s.Put(t.Context(), testManifest, kernel, BytesArtifact(RoleInitrd, noise(uint64(i), 5000)))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Open(t.Context(), img.ID, dir); err != nil && !errors.Is(err, ErrNoImage) {
					t.Error(err)
				}
				switch w {
				case 0:
					if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
						t.Errorf("check: %v, %v", found, err)
					}
				case 1:
					if err := s.Drop(t.Context(), img.ID); err != nil && !errors.Is(err, ErrNoImage) {
						t.Error(err)
					}
				case 2:
					if _, err := s.Collect(t.Context(), nil, 0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if len(s.pins) != 0 || len(s.temps) != 0 {
		t.Errorf("still held: %v, %v", s.pins, s.temps)
	}
	if _, err := s.Collect(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if left := filesBelow(t, s.dir); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}
