package qemu

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// maxCatchUp bounds what catchUp takes of a guest that never stops talking.
const maxCatchUp = 1 << 20

// maxPause bounds for how long nothing is read of a console that floods.
const maxPause = 50 * time.Millisecond

// ear hears the console. Agent and console are two streams, so the agent's
// answer can arrive before what the kernel said ahead of it was read; catchUp
// puts that right.
type ear struct {
	conn syscall.RawConn
	to   io.Writer
	// flood is told what was heard and in what time when that is too much; it must not
	// block.
	flood func(bytes int64, took time.Duration)

	mu     sync.Mutex // held from reading bytes until to has them
	buf    []byte
	flow   flow
	wait   time.Duration // until the guest may go on
	holds  int           // who wants nothing to be read
	resume chan struct{} // closed when nobody does any more; nil: nobody does
	last   bool          // QEMU ends: nobody can hold it any more
	heard  int64         // bytes
	began  time.Time     // when the first one was
}

func newEar(conn net.Conn, to io.Writer, limit flow, flood func(int64, time.Duration)) (*ear, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	return &ear{conn: raw, to: to, buf: make([]byte, 32<<10), flow: limit, flood: flood}, nil
}

// listen returns when the connection has ended.
func (e *ear) listen() {
	e.conn.Read(func(fd uintptr) bool { // it fails when it is closed: that is an end too
		for {
			e.held()
			n, err := e.take(fd)
			switch {
			case n > 0:
				e.pause()
			case err == syscall.EINTR:
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
	if e.isHeld() {
		return // who holds it knows what is missing
	}
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
		e.account(n, time.Now())
	}
	return n, err
}

// account notes what was heard, and tells of a flood.
func (e *ear) account(n int, now time.Time) {
	if e.heard == 0 {
		e.began = now
	}
	e.heard += int64(n)
	floods := false
	if e.wait, floods = e.flow.take(n, now); floods {
		e.flood(e.heard, now.Sub(e.began))
	}
}

// pause holds a guest up that says more than anybody takes in: what is not read is
// not sent.
func (e *ear) pause() {
	e.mu.Lock()
	wait := e.wait
	e.mu.Unlock()
	if wait > 0 {
		time.Sleep(min(wait, maxPause))
	}
}

// hold has nothing read until release is called.
func (e *ear) hold() (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last {
		return func() {}
	}
	if e.holds++; e.resume == nil {
		e.resume = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.holds--; e.holds == 0 {
			e.letGo()
		}
	})
}

// letGo wakes who waits in held. The caller has the lock.
func (e *ear) letGo() {
	if e.resume != nil {
		close(e.resume)
		e.resume = nil
	}
}

// held waits while something holds the ear.
func (e *ear) held() {
	e.mu.Lock()
	resume := e.resume
	e.mu.Unlock()
	if resume != nil {
		<-resume
	}
}

func (e *ear) isHeld() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.resume != nil
}

// free ends all holds for good.
func (e *ear) free() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = true
	e.letGo()
}
