package qemu

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is QEMU's own, by seccomp.
var sandbox = []string{"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}

// folderFlags open a folder only to name what is in it.
const folderFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// reopen is the name by which QEMU opens its descriptor fd again.
func reopen(fd int, _ string) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// inFolder is a short name for name in the open folder dir: unix(7) limits the
// path of a socket to 108 bytes.
func inFolder(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// memoryFile is an empty file without a name that everybody may open who has its
// descriptor.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// copyOf copies a file into memory.
func copyOf(f *os.File) (*os.File, error) {
	m, err := memoryFile(filepath.Base(f.Name()))
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(m, f); err != nil {
		m.Close()
		return nil, fmt.Errorf("copy %s: %w", f.Name(), err)
	}
	return m, nil
}

// starvation is how long the threads of a process were ready to run and had no
// CPU, at most of any thread (proc(5), schedstat).
func starvation(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var most time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if fields := bytes.Fields(b); len(fields) >= 2 {
			if ns, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				most = max(most, time.Duration(ns))
			}
		}
	}
	return most
}
