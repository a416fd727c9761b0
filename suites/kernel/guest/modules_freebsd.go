package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxPath     = 1024 // MAXPATHLEN, which FreeBSD has never changed
	unloadForce = 1    // LINKER_UNLOAD_FORCE of sys/linker.h
	maxModules  = 4096
)

// fileStat is struct kld_file_stat, which kldstat(2) knows by the size that its
// first member says: FreeBSD 8 and later have this one.
type fileStat struct {
	Version  int32
	Name     [maxPath]byte
	Refs, ID int32
	Address  uintptr
	Size     uintptr
	Path     [maxPath]byte
}

func modules() ([]Module, error) {
	list := []Module{}
	for id := uintptr(0); len(list) < maxModules; {
		next, _, errno := unix.Syscall(unix.SYS_KLDNEXT, id, 0, 0)
		if errno != 0 {
			return nil, os.NewSyscallError("kldnext", errno)
		}
		if next == 0 {
			break
		}
		id = next
		stat := fileStat{Version: int32(unsafe.Sizeof(fileStat{}))}
		_, _, errno = unix.Syscall(unix.SYS_KLDSTAT, id, uintptr(unsafe.Pointer(&stat)), 0)
		if errors.Is(errno, unix.ENOENT) {
			break // unloaded meanwhile, and with it the place in the list
		}
		if errno != 0 {
			return nil, os.NewSyscallError("kldstat", errno)
		}
		list = append(list, Module{
			Name: unix.ByteSliceToString(stat.Name[:]), Path: unix.ByteSliceToString(stat.Path[:]),
			ID: int(stat.ID), Refs: int(stat.Refs), Size: int64(stat.Size),
		})
	}
	return list, nil
}

func loadModule(_ context.Context, args ModuleLoadArgs) (ModuleLoaded, error) {
	if args.Params != "" {
		return ModuleLoaded{}, errors.New("FreeBSD's modules take no parameters: set them by kenv")
	}
	path, err := unix.BytePtrFromString(args.Path)
	if err != nil {
		return ModuleLoaded{}, fmt.Errorf("path %q holds a zero byte", args.Path)
	}
	_, _, errno := unix.Syscall(unix.SYS_KLDLOAD, uintptr(unsafe.Pointer(path)), 0, 0)
	switch {
	case errors.Is(errno, unix.EEXIST):
		return ModuleLoaded{Already: true}, nil
	case errno != 0:
		return ModuleLoaded{}, notOurs(fmt.Errorf("kldload %s: %w", args.Path, errno))
	}
	return ModuleLoaded{}, nil
}

func unloadModule(_ context.Context, args ModuleUnloadArgs) (done, error) {
	name, err := unix.BytePtrFromString(args.Name)
	if err != nil {
		return done{}, fmt.Errorf("name %q holds a zero byte", args.Name)
	}
	id, _, errno := unix.Syscall(unix.SYS_KLDFIND, uintptr(unsafe.Pointer(name)), 0, 0)
	if errno != 0 {
		return done{}, notOurs(fmt.Errorf("kldfind %s: %w", args.Name, errno))
	}
	flags := uintptr(0)
	if args.Force {
		flags = unloadForce
	}
	if _, _, errno = unix.Syscall(unix.SYS_KLDUNLOADF, id, flags, 0); errno != 0 {
		return done{}, fmt.Errorf("kldunload %s: %w", args.Name, errno)
	}
	return done{}, nil
}
