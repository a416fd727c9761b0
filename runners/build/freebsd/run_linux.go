package freebsd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

// killSession kills every process of a session, until there is none. The
// session's leader has been waited for; its number is not given out again while
// a process of the session lives.
func killSession(sid int) error {
	for range 1000 { // each round kills all that it sees; only forks can be missed
		pids, err := sessionPIDs(sid)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of a build: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("processes of session %d do not end", sid)
}

// sessionPIDs lists the living processes of a session, not the zombies.
func sessionPIDs(sid int) ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // gone
		}
		// "pid (name) state ppid pgrp session …"; the name may hold anything.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) > 3 && string(fields[3]) == strconv.Itoa(sid) && !bytes.ContainsAny(fields[0], "ZX") {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// syncFiles brings all that was written to the file system of f to the disk.
func syncFiles(f *os.File) error {
	return unix.Syncfs(int(f.Fd()))
}
