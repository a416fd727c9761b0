//go:build linux || freebsd

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// beFirst is the first process. It never returns: a kernel whose first process
// exits panics, and that panic would be our fault and look like its own.
func beFirst() {
	mountDevices()
	out := console{os.Stderr}
	if tty, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		out.w = tty
	}
	out.say("first process") // FreeBSD does not say that it has come so far
	out.say("%s; powering off without an end marker", watch(out))
	flush(out)
	if err := powerOff(); err != nil {
		out.say("power-off: %v", err)
	}
	for { // nothing is left to do, and exiting is not allowed
		time.Sleep(time.Hour)
	}
}

// watch starts the agent proper, reaps whatever ends and returns when the agent
// did, with how. It recovers from its own faults for beFirst's sake.
func watch(out console) (how string) {
	defer func() {
		if p := recover(); p != nil {
			how = fmt.Sprint("panic: ", p)
		}
	}()
	self, err := os.Executable() // on Linux by /proc, which is not there yet
	if err != nil {
		self = os.Args[0]
	}
	tty, ok := out.w.(*os.File)
	if !ok {
		tty = os.Stderr
	}
	child, err := os.StartProcess(self, []string{self, "-boot"}, &os.ProcAttr{
		Dir: "/", Env: []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin:/rescue", "HOME=/"}, Files: []*os.File{nil, tty, tty},
	})
	if err != nil {
		return fmt.Sprintf("agent did not start: %v", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Sprintf("wait for the agent: %v", err)
		case pid == child.Pid && (status.Exited() || status.Signaled()):
			return describeEnd(status)
		}
	}
}

func describeEnd(status unix.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("agent ended: %v", status.Signal())
	}
	return fmt.Sprintf("agent ended: exit status %d", status.ExitStatus())
}
