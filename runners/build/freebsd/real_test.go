package freebsd

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// linkTree makes a tree of hard links to a build's inputs in another, so that a
// test can replace files. The original is never written to.
func linkTree(t *testing.T, from string, paths []string) string {
	t.Helper()
	to := t.TempDir()
	for _, p := range paths {
		err := filepath.WalkDir(filepath.Join(from, p), func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(from, name)
			if err != nil {
				return err
			}
			target := filepath.Join(to, rel)
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			if err := os.Link(name, target); err == nil || errors.Is(err, fs.ErrExist) {
				return nil
			}
			return copyFile(name, target)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// replace writes a file of a linked tree anew.
func replace(t *testing.T, dir, name string, edit func(string) string) {
	t.Helper()
	full := filepath.Join(dir, name)
	old, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(edit(string(old))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRealTree compiles a real tree and walks through what can become of it. It
// takes about five minutes of two CPUs.
func TestRealTree(t *testing.T) {
	from := os.Getenv("HEADWATCH_FREEBSD_SRC")
	if from == "" {
		t.Skip("HEADWATCH_FREEBSD_SRC does not name a FreeBSD source tree")
	}
	ctx := t.Context()
	log, err := os.Create(filepath.Join(t.ArtifactDir(), "build.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cache := os.Getenv("HEADWATCH_FREEBSD_CACHE")
	if cache == "" {
		cache = t.TempDir()
	}
	b := New(Config{Cache: cache})
	r := runners.Recipe{OS: "freebsd", Arch: "amd64", Source: "tree", Config: "MINIMAL", Modules: []string{"virtio", "tmpfs"}}
	paths, _, err := b.Inputs(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	src := linkTree(t, from, paths)
	out := t.TempDir()
	build := func(what string, r runners.Recipe) (Product, error) {
		t.Helper()
		start := time.Now()
		p, err := b.Build(ctx, r, src, Options{Out: out}, log)
		t.Logf("%s: %.2f s", what, time.Since(start).Seconds())
		return p, err
	}

	p, err := build("from nothing", r)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(p.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elf.NewFile(bytes.NewReader(first)); err != nil {
		t.Errorf("kernel: %v", err)
	}
	if bytes.Contains(first, []byte(cache)) || bytes.Contains(first, []byte(src)) {
		t.Error("the kernel holds a path of this machine")
	}
	if loader, err := os.ReadFile(p.Loader); err != nil || !bytes.HasPrefix(loader, []byte("MZ")) {
		t.Errorf("loader: %v, %.4q", err, loader)
	} else if bytes.Contains(loader, []byte(cache)) {
		t.Error("the loader holds a path of this machine")
	}
	if !exists(filepath.Join(p.Scripts, "lua/loader.lua")) || !exists(filepath.Join(p.Scripts, "defaults/loader.conf")) {
		t.Errorf("no lua/loader.lua or defaults/loader.conf in %s", p.Scripts)
	}
	if len(p.Modules) < 2 {
		t.Errorf("modules: %q", p.Modules)
	}

	if _, err := build("unchanged", r); err != nil {
		t.Fatal(err)
	}

	const changed = "sys/netinet/tcp_input.c"
	replace(t, src, changed, func(s string) string { return s + "\nint headwatch_was_here = 1;\n" })
	p, err = build("one file changed", r)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(p.Kernel); err != nil || !bytes.Contains(second, []byte("headwatch_was_here")) {
		t.Errorf("the kernel lacks the change: %v", err)
	}

	replace(t, src, changed, func(s string) string { return s + "\nint headwatch_was_here = \"no\" + ;\n" })
	_, err = build("one file broken", r)
	bad, ok := errors.AsType[*runners.BuildError](err)
	if !ok || !strings.HasPrefix(bad.Reason, changed+":") || !strings.Contains(bad.Reason, "error: ") {
		t.Errorf("broken file: %v, expected a BuildError at %s", err, changed)
	}

	replace(t, src, changed, func(s string) string {
		s, _, _ = strings.Cut(s, "\nint headwatch_was_here")
		return s
	})
	p, err = build("back to the first", r)
	if err != nil {
		t.Fatal(err)
	}
	if last, err := os.ReadFile(p.Kernel); err != nil || !bytes.Equal(first, last) {
		t.Errorf("the same tree made another kernel: %v", err)
	}

	wrong := r
	wrong.Fragments = []string{"device\tmd", "options NO_SUCH_THING"}
	_, err = build("unknown option", wrong)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), `fragment 2, "options NO_SUCH_THING"`) {
		t.Errorf("unknown option: %v", err)
	}
	wrong.Fragments = []string{"device nosuchdevice"}
	_, err = build("unknown device", wrong)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), `fragment 1, "device nosuchdevice"`) {
		t.Errorf("unknown device: %v", err)
	}
	wrong.Fragments = []string{"options (("}
	_, err = build("syntax error", wrong)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), `fragment 1, "options (("`) {
		t.Errorf("syntax error: %v", err)
	}
}
