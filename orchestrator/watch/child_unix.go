//go:build unix && !linux

package watch

import "syscall"

// childAttr puts a command in a process group of its own, so that its children
// can be ended with it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
