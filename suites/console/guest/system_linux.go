package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	getMode = unix.TCGETS
	setMode = unix.TCSETS
)

// kernelLines has the kernel say messages: the log's device takes them.
func (t *thread) kernelLines() error {
	fd, err := unix.Open("/dev/kmsg", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for seq := 0; t.next(); seq++ {
		text := Message(t.args.Seed, t.n, seq)
		if t.hits(TearKernel) {
			text = text[:len(text)/2]
		}
		// Without its end a message waits for the next one, which may continue it.
		if err := t.call("write", func() error { _, err := unix.Write(fd, []byte("<3>"+text+"\n")); return err }); err != nil {
			return err
		}
		t.did(len(text))
	}
	return nil
}

// prepare mounts the file system of pseudo-terminals, where nobody has.
func prepare() error {
	const at = "/dev/pts"
	if _, err := os.Stat(at + "/ptmx"); err == nil {
		return nil
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	err := unix.Mount("devpts", at, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "ptmxmode=0666,mode=0620")
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	return os.NewSyscallError("mount "+at, err)
}

// openMaster makes a pseudo-terminal, and gives the path of its other side.
func openMaster() (fd int, path string, err error) {
	if fd, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return -1, "", err
	}
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
		var n int
		if n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err == nil {
			return fd, "/dev/pts/" + strconv.Itoa(n), nil
		}
	}
	unix.Close(fd)
	return -1, "", err
}

// revoke takes a terminal away from whoever has it open.
func revoke(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlSetInt(fd, unix.TIOCVHANGUP, 0)
}

// watch asks to be told of a descriptor's events, and looks once.
func watch(fd int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(ep)
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLHUP, Fd: int32(fd)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return err
	}
	var events [2]unix.EpollEvent
	_, err = unix.EpollWait(ep, events[:], 0)
	return err
}

// divertTo sends the console's output to a terminal, back to the console takes it back.
func divertTo(slave int) error { return unix.IoctlSetInt(slave, unix.TIOCCONS, 0) }

func divertBack(_ int) error {
	fd, err := unix.Open("/dev/console", unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlSetInt(fd, unix.TIOCCONS, 0)
}

func flush(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH) }

// readSetting reads a file.
func readSetting(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(f, maxSetting))
	return int(n), err
}

func writeSetting(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// crash has the kernel panic.
func crash() error { return writeSetting("/proc/sysrq-trigger", "c") }

// count says what is open.
func count() (o Open, err error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return o, err
	}
	o.FDs = len(fds) - 1 // of this reading
	n, err := os.ReadFile("/proc/sys/kernel/pty/nr")
	if err != nil {
		return o, err
	}
	if o.Ptys, err = strconv.Atoi(strings.TrimSpace(string(n))); err != nil {
		return o, fmt.Errorf("kernel.pty.nr: %w", err)
	}
	return o, nil
}
