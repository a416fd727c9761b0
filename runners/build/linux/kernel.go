package linux

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

// kernelPackage is a distribution's kernel package, unpacked: boot/ with kernel
// and configuration, lib/modules/ with the modules.
type kernelPackage struct {
	root    string
	name    string // as the recipe says it
	release string // as uname prints it
	version string // of the package, one line; empty: unknown
	image   string // path of the kernel
	modules string // path of the release's modules
}

// findKernel locates the kernel package that a recipe names.
func (b *Builder) findKernel(r runners.Recipe) (kernelPackage, error) {
	k := kernelPackage{name: r.Kernel}
	hint := "run `make setup`"
	switch {
	case r.Kernel == "cloud" || r.Kernel == "generic":
		k.root = filepath.Join(b.cfg.Kernels, r.Kernel)
	case filepath.IsAbs(r.Kernel):
		k.root = r.Kernel
		hint = "the folder must hold boot/vmlinuz-RELEASE and lib/modules/RELEASE"
	default:
		return k, recipeError(r, `kernel %q: expected "cloud", "generic" or the path of a folder`, r.Kernel)
	}
	err := k.locate(r.Arch)
	if err == nil {
		return k, nil
	}
	if _, damaged := errors.AsType[*archError](err); damaged {
		hint = "name a kernel of the target's architecture in pipelines.yaml"
	}
	return k, &runners.InfraError{Op: "kernel package " + r.Kernel, Err: err, Hint: hint}
}

// locate fills in everything but root and name.
func (k *kernelPackage) locate(arch string) error {
	files, err := os.ReadDir(filepath.Join(k.root, "boot"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var releases []string
	for _, f := range files {
		if release, ok := strings.CutPrefix(f.Name(), "vmlinuz-"); ok && release != "" {
			releases = append(releases, release)
		}
	}
	if len(releases) == 0 {
		return fmt.Errorf("no boot/vmlinuz-* in %s", k.root)
	}
	// The newest that has modules, for set-up may have left older ones there.
	slices.SortFunc(releases, func(a, b string) int { return compareReleases(b, a) })
	for _, release := range releases {
		for _, lib := range []string{"lib", "usr/lib"} {
			modules := filepath.Join(k.root, lib, "modules", release)
			if st, err := os.Stat(modules); err == nil && st.IsDir() {
				k.release, k.modules = release, modules
				k.image = filepath.Join(k.root, "boot", "vmlinuz-"+release)
				return k.details(arch)
			}
		}
	}
	return fmt.Errorf("no lib/modules/%s in %s", releases[0], k.root)
}

// archError says that a kernel is made for other hardware than the recipe's.
type archError struct{ arch, config string }

func (e *archError) Error() string {
	return fmt.Sprintf("%s is not a configuration for %s", e.config, e.arch)
}

// kernelSymbol is what the kernel's configuration sets for an architecture.
var kernelSymbol = map[string]string{"amd64": "CONFIG_X86_64=y", "arm64": "CONFIG_ARM64=y"}

func (k *kernelPackage) details(arch string) error {
	version, err := os.ReadFile(filepath.Join(k.root, "VERSION"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	k.version = strings.Join(strings.Fields(string(version)), " ")
	path := filepath.Join(k.root, "boot", "config-"+k.release)
	config, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !bytes.Contains(config, []byte("\n"+kernelSymbol[arch]+"\n")) {
		err = &archError{arch: arch, config: path}
	}
	return err
}

// identity is a digest of everything that an image takes from the package. A
// package with a VERSION is taken to be what that version says; of a hand-made
// folder every module is read.
func (k *kernelPackage) identity(ctx context.Context, d *digests) (string, error) {
	kernel, err := d.file(k.image)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%s\n", k.release, k.version, kernel)
	if k.version != "" {
		return digestString(sum.Sum(nil)), nil
	}
	err = filepath.WalkDir(k.modules, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(k.modules, path)
		if err != nil {
			return err
		}
		file, err := d.file(path)
		fmt.Fprintf(sum, "%q %s\n", name, file)
		return err
	})
	return digestString(sum.Sum(nil)), err
}

// compareReleases orders kernel releases: runs of digits by value, the rest by
// bytes.
func compareReleases(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a = cutRun(a)
		y, b = cutRun(b)
		m, errX := strconv.ParseUint(x, 10, 64)
		n, errY := strconv.ParseUint(y, 10, 64)
		c := cmp.Compare(x, y)
		if errX == nil && errY == nil {
			c = cmp.Compare(m, n)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// cutRun splits off the longest run of digits, or of other bytes.
func cutRun(s string) (run, rest string) {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	i := 1
	for i < len(s) && digit(s[i]) == digit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}
