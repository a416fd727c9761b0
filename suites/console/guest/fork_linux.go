package guest

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is the kernel's struct sigaction.
type action struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

//go:nosplit
//go:norace
func fork() (pid uintptr, errno syscall.Errno) {
	pid, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	return pid, errno
}

//go:nosplit
//go:norace
func setSignal(signal uintptr, a *action) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(a)), 0, 8, 0, 0)
}

//go:nosplit
//go:norace
func dup2(from, to uintptr) { syscall.RawSyscall(syscall.SYS_DUP3, from, to, 0) }

//go:nosplit
//go:norace
func closeFrom(fd uintptr) { syscall.RawSyscall(unix.SYS_CLOSE_RANGE, fd, 1<<30, 0) }

//go:nosplit
//go:norace
func drainRaw(fd uintptr) { syscall.RawSyscall(syscall.SYS_IOCTL, fd, unix.TCSBRK, 1) }

//go:nosplit
//go:norace
func address(s *script) uintptr { return uintptr(unsafe.Pointer(&s.byte)) }
