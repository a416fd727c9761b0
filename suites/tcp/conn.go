package tcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// Role is the guest's in opening a connection. The zero value is invalid.
type Role int

// The roles.
const (
	Active  Role = iota + 1 // it connects
	Passive                 // it accepts
)

func (r Role) String() string {
	if r == Active {
		return "active"
	}
	return "passive"
}

// stall is how long a kernel may move no byte before that is a finding.
const stall = 10 * time.Second

// Conn is a connection with both of its ends. One of Stack and Script is the peer's.
type Conn struct {
	Role   Role
	Flow   wire.Flow
	ID     int // the guest's socket
	Stack  net.Conn
	Script *peer.Conn
	// Up is what the guest is told to send, Down what the peer does.
	Up, Down Content
	// File has the guest send from a file.
	File bool

	bed *Bed
}

// Dial opens a connection between the guest and the bed's stack. options are the
// guest's socket options.
func (b *Bed) Dial(ctx context.Context, role Role, options map[string]string) (*Conn, error) {
	c := b.newConn(role)
	if role == Passive {
		return c, b.accept(ctx, c, options, func(ctx context.Context, to netip.AddrPort) (err error) {
			if c.Stack, err = b.Stack.Dial(ctx, to); err != nil {
				return peers(ctx, "the peer connects", err)
			}
			local, err := netip.ParseAddrPort(c.Stack.LocalAddr().String())
			c.Flow.Peer = local
			return err
		})
	}
	port := b.nextPort()
	l, err := b.Stack.Listen(b.Family.Network(), port)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	accept := func(ctx context.Context) (err error) {
		defer context.AfterFunc(ctx, func() { l.Close() })()
		if c.Stack, err = l.Accept(); err != nil {
			return peers(ctx, "the peer accepts", err)
		}
		return nil
	}
	return c, b.connect(ctx, c, netip.AddrPortFrom(b.Family.Of(b.Stack.Address()), port), options, accept)
}

// DialScript opens a connection between the guest and the bed's script.
func (b *Bed) DialScript(ctx context.Context, role Role, o peer.ConnOptions, options map[string]string) (*Conn, error) {
	return b.DialScriptAt(ctx, role, b.nextPort(), o, options)
}

// DialScriptAt is DialScript with a port of the script's that nextPort gave: what rules
// know a connection by that is opened beside others.
func (b *Bed) DialScriptAt(ctx context.Context, role Role, port uint16, o peer.ConnOptions, options map[string]string) (*Conn, error) {
	c := b.newConn(role)
	if role == Passive {
		return c, b.accept(ctx, c, options, func(ctx context.Context, to netip.AddrPort) (err error) {
			if c.Script, err = b.Script.Dial(ctx, port, to, o); err != nil {
				return peers(ctx, "the peer connects", err)
			}
			c.Flow.Peer = c.Script.Local
			return nil
		})
	}
	accept := func(ctx context.Context) (err error) {
		if c.Script, err = b.Script.Accept(ctx, port, o); err != nil {
			return peers(ctx, "the peer accepts", err)
		}
		return nil
	}
	return c, b.connect(ctx, c, netip.AddrPortFrom(b.Family.Of(b.Script.Address()), port), options, accept)
}

func (b *Bed) newConn(role Role) *Conn {
	c := &Conn{Role: role, bed: b, Up: Content{Seed: b.T.Rand.Uint64()}, Down: Content{Seed: b.T.Rand.Uint64()}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, c)
	return c
}

// nextPort gives a port that nobody has had on this bed.
func (b *Bed) nextPort() uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.port++
	return b.port
}

// connect opens c from the guest, while accept takes it at the other end.
func (b *Bed) connect(ctx context.Context, c *Conn, to netip.AddrPort, options map[string]string, accept func(context.Context) error) error {
	return all(ctx, accept, func(ctx context.Context) error {
		var s guest.Socket
		args := guest.ConnectArgs{Network: b.Family.Network(), Addr: to.String(), Options: options, TimeoutS: b.patience().Seconds()}
		if err := b.T.Guest.Call(ctx, guest.OpConnect, args, &s); err != nil {
			return within("connect", err)
		}
		return c.opened("connect", s, to)
	})
}

// accept opens c to the guest, which dial does from the other end.
func (b *Bed) accept(ctx context.Context, c *Conn, options map[string]string, dial func(context.Context, netip.AddrPort) error) error {
	var l guest.Socket
	args := guest.ListenArgs{Network: b.Family.Network(), Addr: netip.AddrPortFrom(b.Family.Of(b.Guest()), 0).String(), Backlog: 16, Options: options}
	if err := b.T.Guest.Call(ctx, guest.OpListen, args, &l); err != nil {
		return within("listen", err)
	}
	if l.Errno != "" {
		return suites.Failf("listen: %s", l.Errno)
	}
	at, err := netip.ParseAddrPort(l.Local)
	if err != nil || l.ID == 0 {
		return fmt.Errorf("the agent listens at %q with socket %d", l.Local, l.ID)
	}
	if err := dial(ctx, at); err != nil {
		return err
	}
	var s guest.Socket
	if err := b.T.Guest.Call(ctx, guest.OpAccept, guest.AcceptArgs{ID: l.ID, TimeoutS: b.patience().Seconds()}, &s); err != nil {
		return within("accept", err)
	}
	if err := c.opened("accept", s, c.Flow.Peer); err != nil {
		return err
	}
	return within("close of the listening socket", b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: l.ID}, nil))
}

// opened takes the guest's end, which must be of the connection to remote.
func (c *Conn) opened(what string, s guest.Socket, remote netip.AddrPort) error {
	switch {
	case s.Errno != "":
		return suites.Failf("%s: %s after %.3f s", what, s.Errno, s.Duration)
	case s.TimedOut:
		return stallf("%s: nothing came of it in %.1f s", what, s.Duration)
	}
	local, err := netip.ParseAddrPort(s.Local)
	if err != nil || s.ID == 0 {
		return fmt.Errorf("%s: the agent says socket %d at %q", what, s.ID, s.Local)
	}
	if got, err := netip.ParseAddrPort(s.Remote); err != nil || got != remote {
		return fmt.Errorf("%s: the agent's socket %d leads to %q, this connection's peer is %v", what, s.ID, s.Remote, remote)
	}
	c.bed.mu.Lock()
	defer c.bed.mu.Unlock()
	for _, other := range c.bed.conns {
		if other != c && other.ID == s.ID {
			return fmt.Errorf("%s: the agent gave socket %d for two connections", what, s.ID)
		}
	}
	c.ID, c.Flow = s.ID, wire.Flow{Guest: local, Peer: remote}
	return nil
}
