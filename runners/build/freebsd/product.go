package freebsd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (p plan) loaderFile() string {
	return filepath.Join(p.objects(), "stand/efi/loader_lua/loader_lua.efi")
}

// kernelFile is a file in the kernel's folder of objects.
func (p plan) kernelFile(name string) string {
	return filepath.Join(p.objects(), "sys", p.kernel, name)
}

// collect copies what was made to the folder of the product.
func (m *maker) collect(p plan) (Product, error) {
	out := Product{Release: m.tree.Release, Version: m.tree.Version, Ident: ident}
	fail := func(err error) (Product, error) { return Product{}, fmt.Errorf("collect what was built: %w", err) }
	put := func(from, name string) (string, error) {
		to := filepath.Join(m.out, name)
		return to, copyFile(from, to)
	}
	var err error
	if out.Kernel, err = put(p.kernelFile("kernel"), "kernel"); err != nil {
		return fail(err)
	}
	if exists(p.kernelFile("kernel.debug")) {
		if out.Debug, err = put(p.kernelFile("kernel.debug"), "kernel.debug"); err != nil {
			return fail(err)
		}
	} else if err := os.Remove(filepath.Join(m.out, "kernel.debug")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if out.Loader, err = put(p.loaderFile(), "loader.efi"); err != nil {
		return fail(err)
	}
	// What an earlier build with more modules left must not get into the image.
	if err := errors.Join(os.RemoveAll(filepath.Join(m.out, "modules")), os.RemoveAll(filepath.Join(m.out, "boot"))); err != nil {
		return fail(err)
	}
	if len(p.modules) > 0 {
		built, err := findModules(p.kernelFile("modules"))
		if err != nil {
			return fail(err)
		}
		for _, ko := range built {
			to, err := put(ko, filepath.Join("modules", filepath.Base(ko)))
			if err != nil {
				return fail(err)
			}
			out.Modules = append(out.Modules, to)
		}
	}
	if out.Scripts, err = m.scripts(p); err != nil {
		return fail(err)
	}
	return out, nil
}

// findModules lists the modules below the folder of their objects, sorted by
// name.
func findModules(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, ".ko") {
			found = append(found, name)
		}
		return err
	})
	slices.SortFunc(found, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return found, err
}

// scripts copies what the loader runs and reads: it is source, not built.
func (m *maker) scripts(p plan) (string, error) {
	boot := filepath.Join(m.out, "boot")
	lua, err := filepath.Glob(filepath.Join(p.src(), "stand/lua/*.lua"))
	if err != nil {
		return "", err
	}
	if len(lua) == 0 {
		return "", errors.New("the tree has no stand/lua/*.lua")
	}
	for _, from := range lua {
		if err := copyFile(from, filepath.Join(boot, "lua", filepath.Base(from))); err != nil {
			return "", err
		}
	}
	if err := copyFile(filepath.Join(p.src(), "stand/defaults/loader.conf"), filepath.Join(boot, "defaults/loader.conf")); err != nil {
		return "", err
	}
	hints := filepath.Join(p.src(), "sys", m.target.machine, "conf/GENERIC.hints")
	if !exists(hints) { // arm64 has none
		return boot, nil
	}
	return boot, copyFile(hints, filepath.Join(boot, "device.hints"))
}

// copyFile copies a file, replacing what is there, and makes its folder.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
