//go:build linux || freebsd

package guest

import (
	"errors"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a process does that was made without a program of its own.
const (
	actAbort = iota + 1 // dies of SIGABRT
	actLead             // leads a session, as its end says
)

// rlimitCore is RLIMIT_CORE of both systems: nothing is written of a process that dies.
const rlimitCore = 4

// script is what it is told, before it is made: it has this process's memory as it was,
// and one thread, so it can do nothing but system calls.
type script struct {
	act, end, tty, pipe int
	byte                [8]byte
	byDefault, ignored  action // of signals
	nothing             syscall.Rlimit
}

// spawn makes a process that follows a script. It must be awaited by reap.
func spawn(s *script) (pid int, err error) {
	s.ignored.handler = 1 // SIG_IGN
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Nobody makes a descriptor meanwhile that is not closed on exec.
	syscall.ForkLock.Lock()
	r, errno := follow(s)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// reap waits for a process, however it ends.
func reap(pid int) error {
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// follow forks; the child never returns. From here on nothing may use more stack, take
// a lock or allocate.
//
//go:nosplit
//go:norace
func follow(s *script) (pid uintptr, errno syscall.Errno) {
	pid, errno = fork()
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	if s.act == actAbort {
		setSignal(uintptr(syscall.SIGABRT), &s.byDefault)
		syscall.RawSyscall(syscall.SYS_SETRLIMIT, rlimitCore, uintptr(unsafe.Pointer(&s.nothing)), 0)
		self, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		syscall.RawSyscall(syscall.SYS_KILL, self, uintptr(syscall.SIGABRT), 0)
		exit()
	}
	lead(s)
	exit()
	return 0, 0
}

// lead makes a session whose leader and one more process read a terminal.
//
//go:nosplit
//go:norace
func lead(s *script) {
	setSignal(uintptr(syscall.SIGHUP), &s.ignored)
	setSignal(uintptr(syscall.SIGCONT), &s.byDefault)
	setSignal(uintptr(syscall.SIGTTIN), &s.ignored)
	setSignal(uintptr(syscall.SIGTTOU), &s.ignored)
	dup2(uintptr(s.tty), 0)
	dup2(uintptr(s.pipe), 1)
	closeFrom(2)
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 0)
	if pid, errno := fork(); pid == 0 && errno == 0 {
		listen(s)
		exit()
	}
	syscall.RawSyscall(syscall.SYS_WRITE, 1, address(s), 1)
	switch s.end {
	case endsExits:
		return
	case endsLetsGo:
		syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCNOTTY, 0)
		return
	case endsDrains:
		syscall.RawSyscall(syscall.SYS_WRITE, 0, address(s), uintptr(len(s.byte)))
		drainRaw(0)
	}
	listen(s)
}

// listen reads until the terminal says that it is over.
//
//go:nosplit
//go:norace
func listen(s *script) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, 0, address(s), uintptr(len(s.byte)))
		if errno != 0 && errno != syscall.EINTR || n == 0 {
			return
		}
	}
}

//go:nosplit
//go:norace
func exit() {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	}
}
