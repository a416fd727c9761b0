package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
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
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// freezes says that a machine's memory can be a file that QEMU is handed.
const freezes = true

// again opens an open file once more, with an offset of its own.
func again(f *os.File, mode int) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var failure error
	err = raw.Control(func(fd uintptr) {
		file, failure = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), mode, 0)
	})
	if err == nil {
		err = failure
	}
	return file, err
}

// seal makes a memory file one that nobody can write to any more, whoever opens it
// and however. A private mapping of it can still be written.
func seal(f *os.File) error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	return os.NewSyscallError("seal a memory file", err)
}

// own says that the other end of a connection is this process's.
func own(f *os.File) bool {
	peer, err := unix.GetsockoptUcred(int(f.Fd()), unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getpid()
}

// nextData is where data begins in f at or after offset, and where it ends; size
// when there is none.
func nextData(f *os.File, offset, size int64) (from, to int64, err error) {
	from, err = unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, os.NewSyscallError("seek", err)
	}
	to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	return from, to, os.NewSyscallError("seek", err)
}

// flock takes a lock on an open file or folder, without waiting; false: somebody
// has it.
func flock(f *os.File, exclusive bool) bool {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) == nil
}

// occupies is how many bytes of its file system a file takes.
func occupies(st os.FileInfo) int64 {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return st.Size()
	}
	return sys.Blocks * 512
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
