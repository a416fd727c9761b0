package guest

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From sys/cpuset.h.
const (
	cpuLevelWhich = 3
	cpuWhichTID   = 1
)

// sysSchedGetcpu is sched_getcpu(2), of FreeBSD 14 and later.
const sysSchedGetcpu = 581

type cpuMask [maxCPUs / 64]uint64

// bindThread binds the calling thread; id -1 means itself.
func bindThread(cpu int) error {
	var mask cpuMask
	mask[cpu/64] = 1 << (cpu % 64)
	_, _, errno := unix.Syscall6(unix.SYS_CPUSET_SETAFFINITY, cpuLevelWhich, cpuWhichTID, ^uintptr(0),
		unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)), 0)
	if errno != 0 {
		return os.NewSyscallError("cpuset_setaffinity", errno)
	}
	return nil
}

func currentCPU() (int, error) {
	cpu, _, errno := unix.RawSyscall(sysSchedGetcpu, 0, 0, 0)
	if errors.Is(errno, syscall.ENOSYS) {
		return -1, nil
	}
	if errno != 0 {
		return 0, os.NewSyscallError("sched_getcpu", errno)
	}
	return int(cpu), nil
}

// onlineCPUs counts: FreeBSD numbers the CPUs that it started from 0 without gaps
// on every machine that we emulate.
func onlineCPUs() ([]int, error) {
	n, err := unix.SysctlUint32("kern.smp.cpus")
	if err != nil {
		return nil, os.NewSyscallError("sysctl kern.smp.cpus", err)
	}
	cpus := make([]int, min(n, maxCPUs))
	for i := range cpus {
		cpus[i] = i
	}
	return cpus, nil
}
