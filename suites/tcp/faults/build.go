package faults

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed src
var sources embed.FS

// ErrNoHeaders says that a kernel's headers are not here.
var ErrNoHeaders = errors.New("no kernel headers")

// Headers finds what modules for a kernel release are built with: below the folder in
// which set-up unpacks kernels, or where the distribution installs them.
func Headers(kernels, release string) (string, error) {
	name := filepath.Join("usr", "src", "linux-headers-"+release)
	for _, root := range []string{filepath.Join(kernels, "headers", release), "/"} {
		dir := filepath.Join(root, name)
		if _, err := os.Stat(filepath.Join(dir, "Module.symvers")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w of %s: run make setup", ErrNoHeaders, release)
}

// Module gives the path of the module for the kernel whose headers are given. It is
// built once: a copy stays in the folder cache, by its sources and the headers.
func Module(ctx context.Context, headers, cache string) (string, error) {
	key, err := digest(headers)
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "hw_tcp-"+key+".ko")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(cache, ".build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ko, err := compile(ctx, headers, dir)
	if err != nil {
		return "", err
	}
	return path, os.Rename(ko, path)
}

// compile builds the module in dir.
func compile(ctx context.Context, headers, dir string) (string, error) {
	src, err := fs.Sub(sources, "src")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, src); err != nil {
		return "", err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	ko := filepath.Join(dir, "hw_tcp.ko")
	for _, argv := range [][]string{
		{"make", "--no-print-directory", "-C", headers, "M=" + dir, "modules"},
		{"strip", "--strip-debug", ko},
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = environment()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the module of faults: %s: %w\n%s", argv[0], err, tail(out))
		}
	}
	return ko, nil
}

// environment is ours without what a make that runs us tells its children, and in
// English.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARCH", "CROSS_COMPILE", "LC_ALL":
		default:
			env = append(env, v)
		}
	}
	return env
}

// tail is the end of what a tool said.
func tail(out []byte) []byte {
	const most = 4 << 10
	return out[max(0, len(out)-most):]
}

// digest is of the sources, and of what the kernel offers to modules.
func digest(headers string) (string, error) {
	sum := sha256.New()
	symbols, err := os.ReadFile(filepath.Join(headers, "Module.symvers"))
	if err != nil {
		return "", err
	}
	fmt.Fprintf(sum, "%s %d\n", filepath.Base(headers), len(symbols))
	sum.Write(symbols)
	err = fs.WalkDir(sources, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := sources.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n", path, len(text))
		sum.Write(text)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:12]), err
}
