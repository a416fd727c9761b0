//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func checkNetwork(network string) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("network %q: want tcp4 or tcp6", network)
	}
	return nil
}

// control sets options before a socket is bound.
func control(options map[string]string) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = setOptions(int(fd), options) })
		return errors.Join(err, failed)
	}
}

func (t *table) listen(ctx context.Context, a ListenArgs) (s Socket, err error) {
	if err := checkNetwork(a.Network); err != nil {
		return s, err
	}
	config := net.ListenConfig{Control: control(a.Options)}
	config.SetMultipathTCP(false) // Go's default: another protocol's sockets, which fall back to TCP
	l, err := config.Listen(ctx, a.Network, a.Addr)
	if err != nil {
		s.Errno, _, err = said(err)
		return s, err
	}
	tcp := l.(*net.TCPListener)
	if a.Backlog > 0 {
		if err := onFD(tcp, func(fd int) error { return unix.Listen(fd, a.Backlog) }); err != nil {
			l.Close()
			return s, fmt.Errorf("backlog %d: %w", a.Backlog, err)
		}
	}
	if s.ID, err = t.add(tcp); err != nil {
		l.Close()
		return s, err
	}
	s.Local = l.Addr().String()
	return s, nil
}

func (t *table) connect(ctx context.Context, a ConnectArgs) (s Socket, err error) {
	if err := checkNetwork(a.Network); err != nil {
		return s, err
	}
	d := net.Dialer{Timeout: seconds(a.TimeoutS), KeepAlive: -1, Control: control(a.Options)}
	if a.Local != "" {
		local, err := netip.ParseAddrPort(a.Local)
		if err != nil {
			return s, err
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	began := time.Now()
	c, err := d.DialContext(ctx, a.Network, a.Addr)
	s.Duration = time.Since(began).Seconds()
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil {
		s.Errno, s.TimedOut, err = said(err)
		return s, err
	}
	return t.keep(c.(*net.TCPConn), s)
}

func (t *table) accept(ctx context.Context, a AcceptArgs) (s Socket, err error) {
	l, err := t.listener(a.ID)
	if err != nil {
		return s, err
	}
	began := time.Now()
	l.SetDeadline(began.Add(seconds(a.TimeoutS)))
	unhook := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	c, err := l.AcceptTCP()
	s.Duration = time.Since(began).Seconds()
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil {
		s.Errno, s.TimedOut, err = said(err)
		return s, err
	}
	c.SetKeepAlive(false) // Go turns it on
	return t.keep(c, s)
}

// keep numbers a connection. What Go sets and a kernel does not is taken back.
func (t *table) keep(c *net.TCPConn, s Socket) (Socket, error) {
	id, err := t.add(c)
	if err != nil {
		c.Close()
		return s, err
	}
	s.ID, s.Local, s.Remote = id, c.LocalAddr().String(), c.RemoteAddr().String()
	return s, nil
}

func (t *table) shut(_ context.Context, a IDArgs) (Closed, error) {
	c, err := t.conn(a.ID)
	if err != nil {
		return Closed{}, err
	}
	errno, _, err := said(c.CloseWrite())
	return Closed{errno}, err
}

func (t *table) close(_ context.Context, a CloseArgs) (Closed, error) {
	s, err := t.take(a.ID)
	if err != nil {
		return Closed{}, err
	}
	if l, ok := s.(*net.TCPListener); ok {
		errno, _, err := said(l.Close())
		return Closed{errno}, err
	}
	c := s.(*net.TCPConn)
	if a.Abort {
		if err := c.SetLinger(0); err != nil {
			c.Close()
			errno, _, err := said(err)
			return Closed{errno}, err
		}
	}
	errno, _, err := said(c.Close())
	return Closed{errno}, err
}

// onFD does something with a socket's descriptor.
func onFD(s syscall.Conn, do func(fd int) error) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}
