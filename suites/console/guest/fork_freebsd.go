package guest

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is struct sigaction.
type action struct {
	handler uintptr
	flags   int32
	mask    [4]uint32
}

//go:nosplit
//go:norace
func fork() (pid uintptr, errno syscall.Errno) {
	pid, _, errno = syscall.RawSyscall(syscall.SYS_FORK, 0, 0, 0)
	return pid, errno
}

//go:nosplit
//go:norace
func setSignal(signal uintptr, a *action) {
	syscall.RawSyscall(syscall.SYS_SIGACTION, signal, uintptr(unsafe.Pointer(a)), 0)
}

//go:nosplit
//go:norace
func dup2(from, to uintptr) { syscall.RawSyscall(syscall.SYS_DUP2, from, to, 0) }

//go:nosplit
//go:norace
func closeFrom(fd uintptr) { syscall.RawSyscall(syscall.SYS_CLOSEFROM, fd, 0, 0) }

//go:nosplit
//go:norace
func drainRaw(fd uintptr) { syscall.RawSyscall(syscall.SYS_IOCTL, fd, unix.TIOCDRAIN, 0) }

//go:nosplit
//go:norace
func address(s *script) uintptr { return uintptr(unsafe.Pointer(&s.byte)) }
