//go:build unix

package nic

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Attached is an end of a link as a connection: frames behind their lengths, as
// of a wire. So taps and real hardware are the same wire to whoever holds it.
type Attached struct {
	net.Conn
	cable *Cable
}

// Attach gives an end, which it then owns, as a connection.
func Attach(f Frames, l Limits) (*Attached, error) {
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("socket pair for a wire: %w", err), f.Close())
	}
	return &Attached{ours, Join(Stream(theirs), f, l)}, nil
}

// Close takes the connection away and the link down.
func (a *Attached) Close() error {
	return errors.Join(a.cable.Close(), a.Conn.Close())
}

// SocketPair makes two connected stream sockets.
func SocketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	conns := [2]net.Conn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "wire")
		var e error
		conns[i], e = net.FileConn(f) // a copy
		err = errors.Join(err, e, f.Close())
	}
	if err != nil {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		return nil, nil, err
	}
	return conns[0], conns[1], nil
}
