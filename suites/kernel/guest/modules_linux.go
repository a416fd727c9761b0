package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func modules() ([]Module, error) {
	text, err := os.ReadFile("/proc/modules")
	if errors.Is(err, os.ErrNotExist) {
		return []Module{}, nil // a kernel without modules
	}
	return parseModules(string(text)), bare(err)
}

// parseModules reads /proc/modules: name, size, references and more.
func parseModules(text string) []Module {
	list := []Module{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		size, _ := strconv.ParseInt(fields[1], 10, 64)
		refs, _ := strconv.Atoi(fields[2]) // "-" where modules cannot be unloaded
		list = append(list, Module{Name: fields[0], Size: size, Refs: refs})
	}
	return list
}

// loadModule loads one file. A compressed one is for the kernel to unpack.
func loadModule(_ context.Context, args ModuleLoadArgs) (ModuleLoaded, error) {
	f, err := os.Open(args.Path)
	if err != nil {
		return ModuleLoaded{}, notOurs(bare(err))
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(args.Path) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), args.Params, flags)
	switch {
	case errors.Is(err, unix.EEXIST):
		return ModuleLoaded{Already: true}, nil
	case errors.Is(err, unix.EPERM):
		return ModuleLoaded{}, fmt.Errorf("load %s: not permitted here", args.Path)
	case err != nil:
		return ModuleLoaded{}, fmt.Errorf("finit_module %s: %w", args.Path, err)
	}
	return ModuleLoaded{}, nil
}

func unloadModule(_ context.Context, args ModuleUnloadArgs) (done, error) {
	flags := unix.O_NONBLOCK
	if args.Force {
		flags |= unix.O_TRUNC
	}
	if err := unix.DeleteModule(args.Name, flags); err != nil {
		return done{}, notOurs(fmt.Errorf("delete_module %s: %w", args.Name, err))
	}
	return done{}, nil
}
