//go:build linux || freebsd

package guest

import (
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/suites/superpage/model"
)

const (
	pageSize  = model.PageSize
	largeSize = model.Large * pageSize
	// base is where ranges lie: far from all that kernels choose by themselves, which is
	// the top of the address space on Linux and its lower part on FreeBSD, and far from
	// Go's own. A hole that is made there stays one.
	base = uintptr(0x4000_0000_0000)
)

// scratchObject is an object of some bytes. System calls write memory to it and not to a
// pipe: of each write that it refuses, Linux leaves an empty buffer in the pipe, which is
// full after 16 of them.
func scratchObject(size int) (int, error) {
	fd, err := memoryObject()
	if err != nil {
		return -1, err
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("ftruncate", err)
	}
	return fd, nil
}

// pointer is memory at an address outside Go's own.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// word is one of memory at an address outside Go's own.
func word(addr uintptr) *uint64 { return (*uint64)(pointer(addr)) }

func mmap(addr, size uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
	at, _, errno := unix.Syscall6(unix.SYS_MMAP, addr, size, uintptr(prot), uintptr(flags), uintptr(fd), uintptr(offset))
	if errno != 0 {
		return 0, os.NewSyscallError("mmap", errno)
	}
	return at, nil
}

// mapAnon maps private memory over what is at addr.
func mapAnon(addr, size uintptr, prot int) error {
	_, err := mmap(addr, size, prot, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED, -1, 0)
	return err
}

// mapObject maps a part of an object, shared, over what is at addr.
func mapObject(addr, size uintptr, prot int, fd int, offset int64) error {
	_, err := mmap(addr, size, prot, unix.MAP_SHARED|unix.MAP_FIXED, fd, offset)
	return err
}

func call(name string, number, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(number, a, b, c); errno != 0 {
		return os.NewSyscallError(name, errno)
	}
	return nil
}

func munmap(addr, size uintptr) error { return call("munmap", unix.SYS_MUNMAP, addr, size, 0) }

func mprotect(addr, size uintptr, prot int) error {
	return call("mprotect", unix.SYS_MPROTECT, addr, size, uintptr(prot))
}

func madvise(addr, size uintptr, advice int) error {
	return call("madvise", unix.SYS_MADVISE, addr, size, uintptr(advice))
}

// caught runs f, which touches memory in [from, from+size), and says whether that was
// refused by a signal. Other faults are ours.
func caught(from, size uintptr, f func()) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if at, ok := r.(interface{ Addr() uintptr }); !ok || at.Addr() < from || at.Addr() >= from+size {
				panic(r)
			}
			fault = true
		}
	}()
	f()
	return false
}

// loadPage reads a page and says what it holds.
func loadPage(addr uintptr) (a model.Access) {
	a.Fault = caught(addr, pageSize, func() { a = decode((*[pageSize / 8]uint64)(pointer(addr))) })
	return a
}

// storePage writes a page of a value.
func storePage(addr uintptr, value uint32) (a model.Access) {
	a.Fault = caught(addr, pageSize, func() { encode((*[pageSize / 8]uint64)(pointer(addr)), value) })
	return a
}

func encode(words *[pageSize / 8]uint64, value uint32) {
	for i := range words {
		words[i] = model.Word(value, i)
	}
}

func decode(words *[pageSize / 8]uint64) (a model.Access) {
	a.Value = uint32(words[0] >> 32)
	for i := range words {
		if got := words[i]; got != model.Word(a.Value, i) {
			a.Torn, a.Word, a.Got = true, i, got
			return a
		}
	}
	return a
}

// largePages counts the pages of a range that large ones map.
func largePages(addr, size uintptr) (int, error) { return countLarge(addr, size) }

// within checks a number that the host asked for.
func within(name string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: %d, want %d to %d", name, n, low, high)
	}
	return nil
}
