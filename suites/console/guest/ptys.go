//go:build linux || freebsd

package guest

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxSlots is how many pseudo-terminals the threads of a storm share.
const maxSlots = 12

// slot is a pseudo-terminal, or none. Only its numbers are guarded: what is done with it
// happens at once. Who uses the master has a descriptor of his own, so that a number
// which was given away again is never used.
type slot struct {
	mu     sync.Mutex
	master int // -1: none
	path   string
	users  atomic.Int32 // how many open or use the other side just now
}

// churnPtys makes, uses and ends pseudo-terminals, which may be another thread's.
func (t *thread) churnPtys() error {
	for t.next() {
		s := t.slots[t.rand.IntN(len(t.slots))]
		what := t.rand.IntN(20)
		s.mu.Lock()
		there, path := s.master >= 0, s.path
		s.mu.Unlock()
		switch {
		case !there:
			if err := t.make(s); err != nil {
				return err
			}
		case what < 8:
			t.useSlave(s, path)
		case what < 12:
			t.useMaster(s)
		case what < 15 && t.Revokes:
			t.call("revoke", func() error { return revoke(path) })
		default:
			t.end(s)
		}
		t.did(0)
	}
	return nil
}

// enough says that no pseudo-terminal is left for now, which is no fault.
func enough(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EINTR)
}

func (t *thread) make(s *slot) error {
	var fd int
	var path string
	err := t.call("openpt", func() (err error) { fd, path, err = openMaster(); return err })
	if err != nil {
		if enough(err) {
			return nil
		}
		return err
	}
	s.mu.Lock()
	taken := s.master >= 0
	if !taken {
		s.master, s.path = fd, path
	}
	s.mu.Unlock()
	if taken { // another thread was first
		t.close(fd)
	}
	return nil
}

// close closes a descriptor that nobody else knows.
func (t *thread) close(fd int) {
	if t.hits(LeakFD) {
		return
	}
	t.call("close", func() error { return unix.Close(fd) })
}

// end closes the master while others may open and use both sides.
func (t *thread) end(s *slot) {
	s.mu.Lock()
	fd := s.master
	s.master = -1
	s.mu.Unlock()
	if fd < 0 {
		return
	}
	if s.users.Load() > 0 && t.hits(Panic) {
		if err := crash(); err != nil {
			t.fails(err)
		}
	}
	t.close(fd)
}

// useSlave opens the other side, which may go away at any moment.
func (t *thread) useSlave(s *slot, path string) {
	s.users.Add(1)
	defer s.users.Add(-1)
	fd := -1
	err := t.call("open", func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return
	}
	for range 1 + t.rand.IntN(3) {
		t.touch(fd)
	}
	t.close(fd)
}

// useMaster uses the first side, by a descriptor of its own.
func (t *thread) useMaster(s *slot) {
	s.mu.Lock()
	fd := -1
	var err error
	if s.master >= 0 {
		fd, err = unix.FcntlInt(uintptr(s.master), unix.F_DUPFD_CLOEXEC, 0)
	}
	s.mu.Unlock()
	if fd < 0 || err != nil {
		return
	}
	t.touch(fd)
	t.close(fd)
}

// touch does one thing with an open side.
func (t *thread) touch(fd int) {
	var buf [256]byte
	switch t.rand.IntN(6) {
	case 0:
		t.call("write", func() error { _, err := unix.Write(fd, buf[:1+t.rand.IntN(len(buf))]); return err })
	case 1:
		t.call("read", func() error { _, err := unix.Read(fd, buf[:]); return err })
	case 2:
		t.call("tcgetattr", func() error {
			m, err := unix.IoctlGetTermios(fd, getMode)
			if err == nil && t.rand.IntN(2) == 0 {
				m.Lflag ^= unix.ICANON
				err = unix.IoctlSetTermios(fd, setMode, m)
			}
			return err
		})
	case 3:
		t.call("flush", func() error { return flush(fd) })
	case 4:
		t.call("watch", func() error { return watch(fd) })
	case 5:
		t.call("winsize", func() error {
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(1 + t.rand.IntN(99)), Col: 80})
		})
	}
}

// empty closes what the storm has left open.
func (s *storm) empty() {
	for _, p := range s.slots {
		p.mu.Lock()
		if p.master >= 0 {
			unix.Close(p.master)
			p.master = -1
		}
		p.mu.Unlock()
	}
}

// divert sends the console's output to a pseudo-terminal, listens, and takes it back, or
// ends the pseudo-terminal under it. Linux sends what writers of the console say there,
// and has them wait for room, for which it takes the terminal's own open file: it may
// not be one that refuses to wait.
func (t *thread) divert() error {
	for t.next() {
		master, path, err := openMaster()
		if err != nil {
			if enough(err) {
				continue
			}
			return err
		}
		slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			unix.Close(master)
			return err
		}
		t.call("divert", func() error { return divertTo(slave) })
		var buf [4096]byte
		for range 1 + t.rand.IntN(8) {
			n, err := t.hear(master, buf[:])
			if n < 0 || err != nil {
				break
			}
			t.mu.Lock()
			t.bytes += int64(n)
			t.mu.Unlock()
		}
		if t.rand.IntN(4) > 0 {
			t.call("divert back", func() error { return divertBack(slave) })
		}
		if t.rand.IntN(2) == 0 {
			t.close(master)
			t.close(slave)
		} else {
			t.close(slave)
			t.close(master)
		}
		t.did(0)
	}
	t.call("divert back", undivert) // refused while another thread has it, which does the same
	return nil
}

// undivert takes the console's output back from whoever has it.
func undivert() error {
	master, path, err := openMaster()
	if err != nil {
		return err
	}
	defer unix.Close(master)
	slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(slave)
	if err := divertTo(slave); err != nil {
		return err
	}
	return divertBack(slave)
}
