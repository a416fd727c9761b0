//go:build linux || freebsd

package guest

import (
	"errors"

	"golang.org/x/sys/unix"
)

// How a session ends.
const (
	endsKilled  = iota // its leader is killed
	endsExits          // its leader exits
	endsLetsGo         // its leader gives the terminal up, and exits
	endsRevoked        // its terminal is taken away
	endsHungUp         // the terminal's other side is closed
	endsDrains         // its leader waits for output that nobody reads, and is killed
	ends
)

// churnSessions gives a terminal to a session of two processes that read it, ends the
// session in one of several ways, and awaits both. A reader cannot be woken by SIGHUP:
// the terminal has to tell it.
func (t *thread) churnSessions() error {
	for t.next() {
		if err := t.session(t.rand.IntN(ends)); err != nil {
			return err
		}
		t.did(0)
	}
	return nil
}

func (t *thread) session(end int) error {
	master, path, err := openMaster()
	if err != nil {
		if enough(err) {
			return nil
		}
		return err
	}
	defer func() { unix.Close(master) }()
	slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		unix.Close(slave)
		return err
	}
	defer unix.Close(pipe[0])
	var leader int
	err = t.call("fork", func() (err error) {
		leader, err = spawn(&script{act: actLead, end: end, tty: slave, pipe: pipe[1]})
		return err
	})
	unix.Close(slave)
	unix.Close(pipe[1])
	if err != nil {
		return err
	}
	if err := t.pipe("start of a session", pipe[0], 1); err != nil { // both read, or are about to
		return errors.Join(err, reap(leader))
	}
	switch end {
	case endsRevoked:
		t.call("revoke", func() error { return revoke(path) })
	case endsHungUp:
		t.call("close", func() error { return unix.Close(master) })
		master = -1
	case endsKilled, endsDrains:
		unix.Kill(leader, unix.SIGKILL)
	}
	if master >= 0 && t.rand.IntN(2) == 0 {
		t.call("flush", func() error { return flush(master) })
	}
	if master >= 0 {
		t.call("close", func() error { return unix.Close(master) })
		master = -1
	}
	unix.Kill(leader, unix.SIGKILL)
	if err := t.call("wait for a session's leader", func() error { return reap(leader) }); err != nil {
		return err
	}
	return t.pipe("wait for a session's readers", pipe[0], 0)
}

// pipe waits for a byte, or with want 0 for the end.
func (t *thread) pipe(name string, fd, want int) error {
	return t.call(name, func() error {
		var b [1]byte
		for {
			ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			switch n, err := unix.Poll(ready, 200); {
			case err != nil && !errors.Is(err, unix.EINTR):
				return err
			case n > 0:
				n, err := unix.Read(fd, b[:])
				if err != nil && !errors.Is(err, unix.EINTR) {
					return err
				}
				if n == want || n == 0 {
					return nil
				}
			}
			select {
			case <-t.left:
				return nil
			default:
			}
		}
	})
}
