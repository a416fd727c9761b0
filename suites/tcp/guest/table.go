//go:build linux || freebsd

package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// table holds the sockets of one session.
type table struct {
	mu      sync.Mutex
	last    int
	sockets map[int]any // *net.TCPListener or *net.TCPConn
}

func (t *table) add(s any) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sockets) >= MaxSockets {
		return 0, fmt.Errorf("%d sockets are open: close some", len(t.sockets))
	}
	t.last++
	t.sockets[t.last] = s
	return t.last, nil
}

// take gives a socket and forgets it.
func (t *table) take(id int) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sockets[id]
	if !ok {
		return nil, fmt.Errorf("no socket %d", id)
	}
	delete(t.sockets, id)
	return s, nil
}

func (t *table) any(id int) (syscall.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sockets[id].(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("no socket %d", id)
	}
	return s, nil
}

func (t *table) conn(id int) (*net.TCPConn, error) {
	s, err := t.any(id)
	if err != nil {
		return nil, err
	}
	c, ok := s.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("socket %d is no connection", id)
	}
	return c, nil
}

func (t *table) listener(id int) (*net.TCPListener, error) {
	s, err := t.any(id)
	if err != nil {
		return nil, err
	}
	l, ok := s.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("socket %d does not listen", id)
	}
	return l, nil
}

// said takes an error apart: what the kernel said of a connection, that a deadline
// of ours passed, or neither.
func said(err error) (errno string, timedOut bool, rest error) {
	var no syscall.Errno
	switch {
	case err == nil:
		return "", false, nil
	case errors.As(err, &no):
		return name(no), false, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", true, nil
	}
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return "", true, nil
	}
	return "", false, err
}

// name of an errno, as the headers have it.
func name(no syscall.Errno) string {
	if s := unix.ErrnoName(no); s != "" {
		return s
	}
	return fmt.Sprintf("errno %d", int(no))
}

// seconds is a duration from the host's number, at most a week: a float holds more
// than a duration.
func seconds(s float64) time.Duration {
	const week = 7 * 24 * 3600
	return time.Duration(min(max(s, 0), week) * float64(time.Second))
}
