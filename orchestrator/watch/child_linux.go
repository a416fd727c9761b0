package watch

import "syscall"

// childAttr puts a command in a process group of its own, so that its children
// can be ended with it, and has the kernel kill it when we are killed. Its own
// helpers then end at the end of their input, at the latest when
// http.lowSpeedTime is over; they hold no lock of the mirror.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
