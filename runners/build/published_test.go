package build

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
)

const publishedCommit = "0123456789abcdef0123456789abcdef01234567"

// txz packs a folder's content as FreeBSD's sets are packed.
func txz(t *testing.T, name string, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", dir, "--owner=root:0", "--group=wheel:0", "-cJf", name, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
}

// server publishes the sets of one commit.
func server(t *testing.T, modules ...string) *httptest.Server {
	t.Helper()
	return serve(t, publishSets(t, modules...))
}

func serve(t *testing.T, root string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(root)))
	t.Cleanup(s.Close)
	return s
}

// publishSets lays the sets of one commit out as a server has them.
func publishSets(t *testing.T, modules ...string) (root string) {
	t.Helper()
	root = t.TempDir()
	at := filepath.Join(root, "snapshot/main", publishedCommit, "amd64/amd64")
	kernel := map[string]string{"boot/kernel/kernel": strings.Repeat("kernel ", 1000)}
	for _, m := range modules {
		kernel["boot/kernel/"+m+".ko"] = "module " + m
	}
	txz(t, filepath.Join(at, "kernel.txz"), kernel)
	txz(t, filepath.Join(at, "base.txz"), map[string]string{
		"boot/loader.efi": strings.Repeat("loader ", 1000), "boot/lua/loader.lua": "-- lua\n",
		"boot/defaults/loader.conf": "# defaults\n", "bin/sh": "not wanted",
		"etc/master.passwd": "root::0:0::0:0:Charlie:/root:/bin/sh\n", "etc/group": "wheel:*:0:root\n",
	})
	txz(t, filepath.Join(at, "tests.txz"), map[string]string{"usr/tests/Kyuafile": "syntax(2)\n"})
	return root
}

func publishedBuilder(t *testing.T) (*Builder, *images.Store) {
	t.Helper()
	if _, err := exec.LookPath("makefs"); err != nil {
		t.Skip("no makefs: run make setup")
	}
	dir := t.TempDir()
	store, err := images.Open(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	agent := func(string, string) ([]byte, error) { return []byte("agent"), nil }
	return New(Config{Store: store, Cache: filepath.Join(dir, "cache"), Agent: agent}), store
}

func publishedRecipe(base string) runners.Recipe {
	return runners.Recipe{OS: "freebsd", Arch: "amd64", Source: "artifacts", Base: base, Cmdline: []string{"kern.hz=100"}}
}

// An image is made of what was published, and made again without the server.
func TestPublished(t *testing.T) {
	b, store := publishedBuilder(t)
	s := server(t, "virtio_console")
	tree := runners.Tree{Commit: publishedCommit, Branch: "main"}
	var log bytes.Buffer
	img, err := b.Build(t.Context(), publishedRecipe(s.URL), tree, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	laid, err := store.Open(t.Context(), img.ID, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.ReadFile(laid.Disk)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"EFI PART", "kernel kernel ", "loader loader ", "module virtio_console", `virtio_console_load="YES"`, `kern.hz="100"`, `init_path="/agent"`} {
		if !bytes.Contains(disk, []byte(want)) {
			t.Errorf("the disk has no %q", want)
		}
	}
	if bytes.Contains(disk, []byte("not wanted")) {
		t.Error("the disk has more of the userland than the loader")
	}
	s.Close()
	again, err := b.Build(t.Context(), publishedRecipe(s.URL), tree, &log)
	if err != nil || again.ID != img.ID {
		t.Errorf("from the cache: %v, %v; want %s", again.ID, err, img.ID)
	}
}

// What is missing of one commit is the commit's, and of the recipe the rig's.
func TestNotPublished(t *testing.T) {
	b, _ := publishedBuilder(t)
	s := server(t)
	other := strings.Repeat("7", 40)
	for want, tree := range map[string]runners.Tree{
		"the server has nothing of commit 777777777777": {Commit: other, Branch: "main"},
	} {
		_, err := b.Build(t.Context(), publishedRecipe(s.URL), tree, &bytes.Buffer{})
		if _, ok := errors.AsType[*runners.UnavailableError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an UnavailableError with %q", err, want)
		}
	}
	r := publishedRecipe(s.URL)
	r.Modules = []string{"no_such"}
	_, err := b.Build(t.Context(), r, runners.Tree{Commit: publishedCommit, Branch: "main"}, &bytes.Buffer{})
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), "kernel.txz has no module no_such; correct the target") {
		t.Errorf("a module that no kernel has: %v", err)
	}
	for want, tree := range map[string]runners.Tree{
		"no commit is given": {},
		"stable-9":           {Commit: publishedCommit, Branch: "stable/9"},
	} {
		_, err := b.Build(t.Context(), publishedRecipe(s.URL), tree, &bytes.Buffer{})
		if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an InfraError with %q", err, want)
		}
	}
}

// A world has the userland and the tests too.
func TestPublishedWorld(t *testing.T) {
	b, store := publishedBuilder(t)
	s := server(t, "virtio_console")
	r := publishedRecipe(s.URL)
	r.World = true
	var log bytes.Buffer
	img, err := b.Build(t.Context(), r, runners.Tree{Commit: publishedCommit, Branch: "main"}, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	laid, err := store.Open(t.Context(), img.ID, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.ReadFile(laid.Disk)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not wanted", "syntax(2)", "kernel kernel ", "# PROVIDE: headwatch"} {
		if !bytes.Contains(disk, []byte(want)) {
			t.Errorf("the disk has no %q", want)
		}
	}
}

// A build that was killed leaves no folder for longer than to the next build; one
// that is at work keeps its own.
func TestRoom(t *testing.T) {
	cache := t.TempDir()
	dead := filepath.Join(cache, "out", "build-dead")
	if err := os.MkdirAll(filepath.Join(dead, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	one, doneOne, err := room(cache)
	if err != nil {
		t.Fatal(err)
	}
	two, doneTwo, err := room(cache)
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "out", "*"))
	if len(left) != 2 || one == two {
		t.Errorf("%q and %q, there are %q", one, two, left)
	}
	if err := errors.Join(doneOne(), doneTwo()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "out", "*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
