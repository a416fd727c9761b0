package guest

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// exclusive is the flag by which MAP_FIXED replaces nothing.
const exclusive = unix.MAP_FIXED_NOREPLACE

const (
	sysPread  = unix.SYS_PREAD64
	sysPwrite = unix.SYS_PWRITE64
)

// Advice to madvise(2), by what package model calls it.
const (
	adviceWillNeed = unix.MADV_WILLNEED
	adviceDontNeed = unix.MADV_DONTNEED
	adviceFree     = unix.MADV_FREE
)

// inheritCopy, inheritKeep and inheritZero decide what a child of fork gets.
func inheritCopy(addr, size uintptr) error {
	if err := madvise(addr, size, unix.MADV_DOFORK); err != nil {
		return err
	}
	return madvise(addr, size, unix.MADV_KEEPONFORK)
}

func inheritKeep(addr, size uintptr) error { return madvise(addr, size, unix.MADV_DONTFORK) }

func inheritZero(addr, size uintptr) error {
	if err := madvise(addr, size, unix.MADV_DOFORK); err != nil {
		return err
	}
	return madvise(addr, size, unix.MADV_WIPEONFORK)
}

// mapAligned maps memory where the kernel lets large pages hold it. Linux before 6.7
// does not choose such a place by itself.
func mapAligned(size uintptr, shared bool, fd int) (uintptr, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_ANON
	if shared {
		flags = unix.MAP_SHARED
	}
	return mmap(base, size, unix.PROT_READ|unix.PROT_WRITE, flags|exclusive, fd, 0)
}

// memoryObject is an object of shared memory.
func memoryObject() (int, error) {
	fd, err := unix.MemfdCreate("superpage", unix.MFD_CLOEXEC)
	return fd, os.NewSyscallError("memfd_create", err)
}

// bindThread binds the calling thread to a CPU.
func bindThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
}

// cpuList are the CPUs that this process may use.
func cpuList() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	if len(cpus) == 0 {
		return nil, fmt.Errorf("no CPU of %d", runtime.NumCPU())
	}
	return cpus, nil
}

// countLarge counts the pages of a range that large ones map, from /proc/self/smaps. Of
// a mapping that lies in the range with a part only, it counts what fits.
func countLarge(addr, size uintptr) (int, error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	pages := 0
	left := 0 // pages of the current mapping that lie in the range
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if from, to, ok := strings.Cut(fields[0], "-"); ok {
			start, err1 := strconv.ParseUint(from, 16, 64)
			end, err2 := strconv.ParseUint(to, 16, 64)
			if err1 != nil || err2 != nil {
				return 0, fmt.Errorf("/proc/self/smaps: line %q", line)
			}
			left = max(0, int(min(end, uint64(addr+size)))-int(max(start, uint64(addr)))) / pageSize
			continue
		}
		switch fields[0] {
		case "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:":
			kb, err := strconv.Atoi(fields[1])
			if err != nil {
				return 0, fmt.Errorf("/proc/self/smaps: line %q", line)
			}
			n := min(left, kb*1024/pageSize)
			pages += n
			left -= n
		}
	}
	return pages, nil
}

// residentBytes is how much memory the process has.
func residentBytes() (int64, error) {
	b, err := os.ReadFile("/proc/self/smaps_rollup") // statm counts by CPU, and only roughly
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Rss:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/smaps_rollup has no Rss")
}

// forkProcess is fork(2), for nobody but forkChild.
//
//go:norace
//go:nosplit
func forkProcess() (pid uintptr, errno unix.Errno) {
	pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	return pid, errno
}

// exitProcess is _exit(2).
//
//go:norace
//go:nosplit
func exitProcess() { unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) }
