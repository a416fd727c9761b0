package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	getMode = unix.TIOCGETA
	setMode = unix.TIOCSETA
	// tiocCons is TIOCCONS of sys/ttycom.h, _IOW('t', 98, int).
	tiocCons = 0x80047462
	// Of struct xtty and struct tty of sys/tty.h.
	xttySize    = 88
	xttySession = 72
	xttyFlags   = 76
	ttyGone     = 0x40 // TF_GONE
)

// kernelLines has the kernel say that a process died of a signal (kern.logsigexit).
func (t *thread) kernelLines() error {
	for t.next() {
		var pid int
		err := t.call("fork", func() (err error) { pid, err = spawn(&script{act: actAbort}); return err })
		if err == nil {
			err = t.call("wait", func() error { return reap(pid) })
		}
		if err != nil {
			return err
		}
		t.mu.Lock()
		if len(t.died) < MaxDied {
			t.died = append(t.died, pid)
		}
		t.mu.Unlock()
		t.did(0)
		if t.hits(TearKernel) { // where the kernel's own lines go, and in their alphabet
			if err := writeTo("/dev/console", fmt.Sprintf("pid %d (headwatch-agent), jid\n", pid)); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// prepare does nothing: the kernel makes /dev/pts.
func prepare() error { return nil }

// openMaster makes a pseudo-terminal, and gives the path of its other side.
func openMaster() (fd int, path string, err error) {
	r, _, errno := unix.Syscall(unix.SYS_POSIX_OPENPT, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, "", errno
	}
	fd = int(r)
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, "", err
	}
	return fd, "/dev/pts/" + strconv.Itoa(n), nil
}

// revoke takes a terminal away from whoever has it open.
func revoke(path string) error { return unix.Revoke(path) }

// watch asks to be told of a descriptor's events, and looks once.
func watch(fd int) error {
	kq, err := unix.Kqueue()
	if err != nil {
		return err
	}
	defer unix.Close(kq)
	changes := make([]unix.Kevent_t, 2)
	unix.SetKevent(&changes[0], fd, unix.EVFILT_READ, unix.EV_ADD)
	unix.SetKevent(&changes[1], fd, unix.EVFILT_WRITE, unix.EV_ADD|unix.EV_CLEAR)
	_, err = unix.Kevent(kq, changes, make([]unix.Kevent_t, 4), &unix.Timespec{})
	return err
}

// divertTo sends the console's output to a terminal, divertBack takes it back.
func divertTo(slave int) error   { return unix.IoctlSetPointerInt(slave, tiocCons, 1) }
func divertBack(slave int) error { return unix.IoctlSetPointerInt(slave, tiocCons, 0) }

func flush(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, 3) } // FREAD|FWRITE

// readSetting reads a sysctl.
func readSetting(name string) (int, error) {
	b, err := unix.SysctlRaw(name)
	return len(b), err
}

// writeSetting writes one: a number in the width that the old value has.
func writeSetting(name, value string) error {
	old, err := unix.SysctlRaw(name)
	if err != nil {
		return err
	}
	data := append([]byte(value), 0)
	if n, err := strconv.ParseInt(value, 10, 32); err == nil && len(old) == 4 {
		data = binary.NativeEndian.AppendUint32(nil, uint32(n))
	}
	key := []byte(name)
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTLBYNAME, uintptr(unsafe.Pointer(&key[0])), uintptr(len(key)),
		0, 0, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return errno
	}
	return nil
}

// crash has the kernel panic.
func crash() error { return writeSetting("debug.kdb.panic", "1") }

// count says what is open.
func count() (o Open, err error) {
	for fd := range 4096 { // fdescfs is nowhere mounted
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
			o.FDs++
		}
	}
	ptys, err := os.ReadDir("/dev/pts")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, err
	}
	for _, p := range ptys {
		if !strings.HasSuffix(p.Name(), ".init") && !strings.HasSuffix(p.Name(), ".lock") {
			o.Ptys++
		}
	}
	list, err := unix.SysctlRaw("kern.ttys")
	if err != nil {
		return o, fmt.Errorf("kern.ttys: %w", err)
	}
	o.Terminals, o.Left = readTerminals(list)
	return o, nil
}

// readTerminals counts the structs xtty of sys/sys/tty.h, each of which begins with its
// size, and tells of those that are gone for the kernel and still there.
func readTerminals(list []byte) (n int, left []string) {
	for len(list) >= xttySize {
		size := int(binary.NativeEndian.Uint64(list))
		if size < xttySize || size > len(list) {
			break
		}
		session, flags := binary.NativeEndian.Uint32(list[xttySession:]), binary.NativeEndian.Uint32(list[xttyFlags:])
		if flags&ttyGone != 0 && len(left) < MaxLeft {
			left = append(left, fmt.Sprintf("flags %#x, session %d", flags, session))
		}
		list = list[size:]
		n++
	}
	return n, left
}
