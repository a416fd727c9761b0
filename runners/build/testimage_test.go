package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/disk"
)

// publishTestImage adds a disk that has a root to what a server publishes.
func publishTestImage(t *testing.T, folder string) (system []byte) {
	t.Helper()
	if _, err := exec.LookPath("makefs"); err != nil {
		t.Skip("no makefs: run make setup")
	}
	dir := t.TempDir()
	loader := filepath.Join(dir, "loader")
	if err := os.WriteFile(loader, []byte("loader"), 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "disk")
	d := disk.Disk{Arch: "amd64", Loader: loader, Files: []disk.File{{Path: "/etc/hosts", Mode: 0o644, Data: []byte("the CI's\n")}}}
	if err := disk.Write(context.Background(), name, d, io.Discard); err != nil {
		t.Fatal(err)
	}
	system, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "disk-test.img.zst"), w.EncodeAll(system, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	return system
}

// The test image stays as it was published; the agent and a loader lie beside it.
func TestTestImage(t *testing.T) {
	b, store := publishedBuilder(t)
	root := publishSets(t, "virtio_console")
	system := publishTestImage(t, filepath.Join(root, "snapshot/main", publishedCommit, "amd64/amd64"))
	s := serve(t, root)
	r := publishedRecipe(s.URL)
	r.TestImage = true
	tree := runners.Tree{Commit: publishedCommit, Branch: "main"}
	var log bytes.Buffer
	img, err := b.Build(t.Context(), r, tree, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if again, err := b.Build(t.Context(), r, tree, &log); err != nil || again.ID != img.ID {
		t.Errorf("again: %s, %v; want %s", again.ID, err, img.ID)
	}
	laid, err := store.Open(t.Context(), img.ID, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(laid.Disk); err != nil || !bytes.Equal(got, system) {
		t.Errorf("the disk is not the published one: %v", err)
	}
	if got := told(t, laid.Meta); !slices.Equal(got, []string{"./", "./run.sh", "./headwatch-agent"}) {
		t.Errorf("the second disk holds %q", got)
	}
	starter, err := os.ReadFile(laid.Starter)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rootdev=disk0p2:\n", "console=comconsole\n", "kern.hz=100\n", "loader loader "} {
		if !bytes.Contains(starter, []byte(want)) {
			t.Errorf("the disk that starts it has no %q", want)
		}
	}
}

// told lists the tar at the start of a meta disk.
func told(t *testing.T, name string) (names []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

// A commit of which the sets were published and the image was not cannot be tested.
func TestNoTestImage(t *testing.T) {
	b, _ := publishedBuilder(t)
	r := publishedRecipe(server(t).URL)
	r.TestImage = true
	_, err := b.Build(t.Context(), r, runners.Tree{Commit: publishedCommit, Branch: "main"}, io.Discard)
	if _, ok := errors.AsType[*runners.UnavailableError](err); !ok {
		t.Errorf("got %v, want an UnavailableError", err)
	}
}

// One that is no disk, or has no root, is the rig's to complain about.
func TestStrangeTestImage(t *testing.T) {
	b, _ := publishedBuilder(t)
	root := publishSets(t)
	folder := filepath.Join(root, "snapshot/main", publishedCommit, "amd64/amd64")
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "disk-test.img.zst"), w.EncodeAll(make([]byte, 1<<20), nil), 0o644); err != nil {
		t.Fatal(err)
	}
	r := publishedRecipe(serve(t, root).URL)
	r.TestImage = true
	_, err = b.Build(t.Context(), r, runners.Tree{Commit: publishedCommit, Branch: "main"}, io.Discard)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok {
		t.Errorf("got %v, want an InfraError", err)
	}
}
