package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// exclusive is the flag by which MAP_FIXED replaces nothing.
const exclusive = unix.MAP_FIXED | unix.MAP_EXCL

const (
	sysPread  = unix.SYS_PREAD
	sysPwrite = unix.SYS_PWRITE
)

// From sys/mman.h, sys/cpuset.h and sys/user.h.
const (
	shmAnon       = 1
	inheritAsCopy = 1
	inheritNone   = 2
	inheritZeroed = 3
	mincoreSuper  = 0x60 // the page's size index, shifted; 0 is a small page
	cpuLevelWhich = 3
	cpuWhichTID   = 1
	kinfoSize     = 1088 // of struct kinfo_proc, which keeps its layout, on 64 bits
	kinfoRSS      = 264  // offset of ki_rssize, pages
)

// Advice to madvise(2), by what package model calls it.
const (
	adviceWillNeed = unix.MADV_WILLNEED
	adviceDontNeed = unix.MADV_DONTNEED
	adviceFree     = unix.MADV_FREE
)

func minherit(addr, size, how uintptr) error {
	return call("minherit", unix.SYS_MINHERIT, addr, size, how)
}

// inheritCopy, inheritKeep and inheritZero decide what a child of fork gets.
func inheritCopy(addr, size uintptr) error { return minherit(addr, size, inheritAsCopy) }
func inheritKeep(addr, size uintptr) error { return minherit(addr, size, inheritNone) }
func inheritZero(addr, size uintptr) error { return minherit(addr, size, inheritZeroed) }

// mapAligned maps memory where the kernel says that large pages can hold it.
func mapAligned(size uintptr, shared bool, fd int) (uintptr, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_ANON
	if shared {
		flags = unix.MAP_SHARED
	}
	return mmap(0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ALIGNED_SUPER, fd, 0)
}

// memoryObject is an object of shared memory.
func memoryObject() (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_SHM_OPEN, shmAnon, unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if errno != 0 {
		return -1, os.NewSyscallError("shm_open", errno)
	}
	return int(fd), nil
}

// bindThread binds the calling thread, whose id is -1, to a CPU.
func bindThread(cpu int) error {
	var mask [1024 / 64]uint64
	mask[cpu/64] = 1 << (cpu % 64)
	_, _, errno := unix.Syscall6(unix.SYS_CPUSET_SETAFFINITY, cpuLevelWhich, cpuWhichTID, ^uintptr(0),
		unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)), 0)
	if errno != 0 {
		return os.NewSyscallError("cpuset_setaffinity", errno)
	}
	return nil
}

// cpuList are the CPUs; FreeBSD numbers them from 0 without gaps.
func cpuList() ([]int, error) {
	n, err := unix.SysctlUint32("kern.smp.cpus")
	if err != nil {
		return nil, os.NewSyscallError("sysctl kern.smp.cpus", err)
	}
	cpus := make([]int, min(n, 1024))
	for i := range cpus {
		cpus[i] = i
	}
	if len(cpus) == 0 {
		return nil, errors.New("kern.smp.cpus is 0")
	}
	return cpus, nil
}

// countLarge counts the pages of a range that large ones map.
func countLarge(addr, size uintptr) (int, error) {
	vec := make([]byte, size/pageSize)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, addr, size, uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
		return 0, os.NewSyscallError("mincore", errno)
	}
	n := 0
	for _, v := range vec {
		if v&mincoreSuper != 0 {
			n++
		}
	}
	return n, nil
}

// residentBytes is how much memory the process has.
func residentBytes() (int64, error) {
	b, err := unix.SysctlRaw("kern.proc.pid", os.Getpid())
	if err != nil {
		return 0, os.NewSyscallError("sysctl kern.proc.pid", err)
	}
	if len(b) != kinfoSize || binary.LittleEndian.Uint32(b) != kinfoSize {
		return 0, fmt.Errorf("kern.proc.pid is of %d bytes, want %d", len(b), kinfoSize)
	}
	return int64(binary.LittleEndian.Uint64(b[kinfoRSS:])) * pageSize, nil
}

// forkProcess is fork(2), for nobody but forkChild.
//
//go:norace
//go:nosplit
func forkProcess() (pid uintptr, errno unix.Errno) {
	pid, _, errno = unix.RawSyscall(unix.SYS_FORK, 0, 0, 0)
	return pid, errno
}

// exitProcess is _exit(2).
//
//go:norace
//go:nosplit
func exitProcess() { unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0) }
