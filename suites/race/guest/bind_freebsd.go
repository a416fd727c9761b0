package guest

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From sys/cpuset.h.
const (
	cpuLevelWhich = 3
	cpuWhichTID   = 1
)

// bindThread binds the calling thread, whose id is -1, to a CPU.
func bindThread(cpu int) error {
	var mask [1024 / 64]uint64 // CPU_MAXSIZE
	mask[cpu/64] = 1 << (cpu % 64)
	_, _, errno := unix.Syscall6(unix.SYS_CPUSET_SETAFFINITY, cpuLevelWhich, cpuWhichTID, ^uintptr(0),
		unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)), 0)
	if errno != 0 {
		return os.NewSyscallError("cpuset_setaffinity", errno)
	}
	return nil
}
