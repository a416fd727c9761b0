package build

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/freebsd"
)

// Kernels that differ in their lines alone are one image, and the debugging
// information of the first stays beside it.
func TestDebugLiesBesideTheImage(t *testing.T) {
	b, store := publishedBuilder(t)
	m := b.makers[source{"freebsd", "tree"}].(*freebsdTree)
	r := runners.Recipe{OS: "freebsd", Arch: "amd64", Source: "tree"}
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := freebsd.Product{Release: "16.0", Kernel: file("kernel", "kernel"), Loader: file("loader.efi", "MZ")}
	p.Scripts = filepath.Dir(filepath.Dir(file("boot/defaults/loader.conf", "# defaults\n")))
	file("boot/lua/loader.lua", "-- lua\n")
	image := func(debug string) runners.Image {
		t.Helper()
		p.Debug = debug
		var log bytes.Buffer
		img, err := m.image(t.Context(), r, p, []byte("agent"), t.TempDir(), &log)
		if err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		return img
	}
	img := image("")
	if path, err := b.Debug(t.Context(), img.ID, t.TempDir()); path != "" || err != nil {
		t.Errorf("without debugging information: %q, %v", path, err)
	}
	for _, content := range []string{"line 1", "line 2"} {
		if again := image(file("kernel.debug", content)); again.ID != img.ID {
			t.Errorf("with %q the image is %s, was %s", content, again.ID, img.ID)
		}
	}
	path, err := b.Debug(t.Context(), img.ID, t.TempDir())
	if got, _ := os.ReadFile(path); err != nil || string(got) != "line 1" {
		t.Errorf("%q, %v; want the first", got, err)
	}
	if found, err := store.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("check: %v, %v", found, err)
	}
	if path, err := b.Debug(t.Context(), "sha256:none", t.TempDir()); err == nil {
		t.Errorf("of no image: %q", path)
	}
}
