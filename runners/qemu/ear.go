package qemu

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// maxCatchUp bounds what catchUp takes of a guest that never stops talking.
const maxCatchUp = 1 << 20

// ear hears the console. Agent and console are two streams, so the agent's
// answer can arrive before what the kernel said ahead of it was read; catchUp
// puts that right.
type ear struct {
	conn syscall.RawConn
	to   io.Writer

	mu  sync.Mutex // held from reading bytes until to has them
	buf []byte
}

func newEar(conn net.Conn, to io.Writer) (*ear, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	return &ear{conn: raw, to: to, buf: make([]byte, 32<<10)}, nil
}

// listen returns when the connection has ended.
func (e *ear) listen() {
	e.conn.Read(func(fd uintptr) bool { // it fails when it is closed: that is an end too
		for {
			n, err := e.take(fd)
			switch {
			case n > 0, err == syscall.EINTR:
			case err == syscall.EAGAIN:
				return false // wait for more
			default:
				return true
			}
		}
	})
}

// catchUp takes what the console has said by now.
func (e *ear) catchUp() {
	e.conn.Control(func(fd uintptr) { // it fails when all was heard and the connection closed
		for taken := 0; taken < maxCatchUp; {
			n, err := e.take(fd)
			if n <= 0 && err != syscall.EINTR {
				return
			}
			taken += max(n, 0)
		}
	})
}

// take moves what is there, and does not wait: the connection does not block.
func (e *ear) take(fd uintptr) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := syscall.Read(int(fd), e.buf)
	if n > 0 {
		e.to.Write(e.buf[:n]) // a console never fails
	}
	return n, err
}
