//go:build linux || freebsd

package guest

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sendFile sends part of a content from a file that only memory holds.
func sendFile(c *net.TCPConn, p pace, a SendArgs) (m Moved, err error) {
	if a.Bytes > MaxFile {
		return m, fmt.Errorf("a file of %d bytes: want %d at most", a.Bytes, MaxFile)
	}
	fd, err := memoryFile()
	if err != nil {
		return m, fmt.Errorf("a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "content")
	defer f.Close()
	b := make([]byte, a.Bytes)
	Content(a.Seed, a.From, b)
	if err := f.Truncate(a.Bytes); err != nil {
		return m, fmt.Errorf("a file in memory: %w", err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return m, fmt.Errorf("a file in memory: %w", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return m, err
	}
	for m.Bytes < a.Bytes && err == nil {
		c.SetWriteDeadline(time.Now().Add(p.stall))
		var refused error
		err = raw.Write(func(socket uintptr) bool {
			at := m.Bytes
			n, e := unix.Sendfile(int(socket), fd, &at, int(a.Bytes-m.Bytes))
			m.Bytes += int64(max(n, 0))
			switch {
			case n > 0 || e == unix.EINTR:
				return true
			case e == unix.EAGAIN || e == unix.EBUSY:
				return false
			case e == nil:
				e = fmt.Errorf("sendfile: nothing was sent of %d bytes", a.Bytes-m.Bytes)
			}
			refused = e
			return true
		})
		if refused != nil {
			err = refused
		}
	}
	m.Errno, m.Stalled, err = said(err)
	return m, err
}
