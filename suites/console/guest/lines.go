//go:build linux || freebsd

package guest

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// reopening is how long is waited before a device that went away is opened again.
const reopening = 20 * time.Millisecond

// writeLines writes numbered lines.
func (t *thread) writeLines() error {
	fd, err := t.begin()
	if fd < 0 {
		return err
	}
	defer func() { unix.Close(fd) }()
	var line []byte
	for seq := 0; seq < MaxLines && t.next(); seq++ {
		line = Line(line[:0], t.args.Seed, t.Writer+t.n, seq)
		n, err := t.say(fd, line)
		for err != nil && t.Endures {
			unix.Close(fd)
			if fd, err = t.begin(); fd < 0 {
				return err
			}
			n, err = t.say(fd, line) // from its beginning: the device is another one
		}
		if err != nil {
			return err
		}
		t.did(n)
	}
	_, err = t.say(fd, nil)
	return err
}

// begin opens the device of a worker, which may be away for a while if the worker bears
// that; -1 without an error: it was until the end.
func (t *thread) begin() (int, error) {
	for {
		fd, err := t.open(false)
		if err == nil || !t.Endures {
			return fd, err
		}
		if !t.pause(reopening) {
			return -1, nil
		}
	}
}

// say writes a line, or what a fault makes of it; nil is what is left behind the last.
func (t *thread) say(fd int, line []byte) (int, error) {
	n := len(line)
	switch {
	case line == nil, len(t.held) > 0:
		line = append(line[:n:n], t.held...)
		t.held = nil
	case t.hits(LoseLine):
		return n, nil
	case t.hits(TwiceLine):
		line = append(line[:n:n], line...)
	case t.hits(SwapLines):
		t.held = append(t.held, line...)
		return n, nil
	case t.hits(TearLine):
		t.held = append(t.held, line[n/2:]...)
		line = line[:n/2]
	}
	return n, t.write(fd, line)
}

// write writes all of b.
func (t *thread) write(fd int, b []byte) error {
	for len(b) > 0 {
		err := t.call("write", func() error {
			n, err := unix.Write(fd, b)
			b = b[max(n, 0):]
			return err
		})
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}

// open opens the worker's device for writes that wait; one that is to be read is put in
// raw mode. A device that went away may come back.
func (t *thread) open(raw bool) (fd int, err error) {
	err = t.call("open", func() (err error) { // without waiting for a carrier
		fd, err = unix.Open(t.Path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	if raw { // who reads asks first, and what was there then another one may have thrown away
		err = rawMode(fd)
	} else {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// rawMode passes bytes as they are, and needs no carrier.
func rawMode(fd int) error {
	m, err := unix.IoctlGetTermios(fd, getMode)
	if err != nil {
		return err
	}
	m.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	m.Iflag |= unix.IGNBRK
	m.Oflag &^= unix.OPOST
	m.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	m.Cflag &^= unix.CSIZE | unix.PARENB
	m.Cflag |= unix.CS8 | unix.CLOCAL | unix.CREAD
	m.Cc[unix.VMIN], m.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, setMode, m)
}

// echo reads what the host types. A Count is of bytes.
func (t *thread) echo() error {
	fd := -1
	defer func() { unix.Close(fd) }()
	buf := make([]byte, 4096)
	for t.next() {
		if fd < 0 {
			var err error
			if fd, err = t.open(true); err != nil {
				if !t.Endures {
					return err
				}
				t.pause(reopening)
				continue
			}
		}
		n, err := t.hear(fd, buf)
		if n == 0 && err == nil {
			continue
		}
		if err != nil && !errors.Is(err, unix.EINTR) || n < 0 {
			unix.Close(fd)
			if fd = -1; !t.Endures && err != nil {
				return err
			}
			continue
		}
		t.mu.Lock()
		t.ops += int64(n)
		t.bytes += int64(n)
		t.mu.Unlock()
	}
	return nil
}

// hear reads what is there, for which it waits a little; -1 bytes are the end.
func (t *thread) hear(fd int, buf []byte) (n int, err error) {
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if some, err := unix.Poll(ready, 50); err != nil || some == 0 {
		return 0, err
	}
	err = t.call("read", func() (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	switch {
	case errors.Is(err, unix.EAGAIN):
		return 0, nil
	case n == 0 && err == nil:
		n = -1
	}
	return n, err
}
