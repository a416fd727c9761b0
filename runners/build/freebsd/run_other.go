//go:build !linux

package freebsd

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// killSession kills every process of a session. pkill exits 1 when it found
// none, which is what we wait for.
func killSession(sid int) error {
	for range 1000 {
		err := exec.Command("/usr/bin/pkill", "-KILL", "-s", strconv.Itoa(sid)).Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("processes of session " + strconv.Itoa(sid) + " do not end")
}

// syncFiles brings all that was written to the disk.
func syncFiles(*os.File) error {
	syscall.Sync()
	return nil
}
