package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/headwatch/headwatch/suites/wire"
)

const (
	// searchWidth is how many SYNs are under way: fewer than a listener's queue takes.
	searchWidth = 12
	// firstSearchPort and up are what a search dials from.
	firstSearchPort = 10_000
)

// DialWhere opens connections to a guest, from other ports each time, until its initial
// sequence number is one that want likes. The others are reset before they are open. Ours
// begin at o.ISN and differ, so that ports can come again. again is called whenever none was
// liked of some that were under way together. It says how many it took.
func (s *Script) DialWhere(ctx context.Context, to netip.AddrPort, o ConnOptions, want func(isn wire.Seq) bool, again func()) (*Conn, int, error) {
	mac, err := s.host.resolve(ctx, to.Addr())
	if err != nil {
		return nil, 0, err
	}
	for tried := 0; ; {
		var conns []*Conn
		for i := range searchWidth {
			port := firstSearchPort + (tried+i)%(1<<16-firstSearchPort)
			o := o
			o.ISN += wire.Seq(tried+i) * 65_537
			c, err := s.newConn(netip.AddrPortFrom(s.host.of(to.Addr()), uint16(port)), to, o)
			if err != nil {
				return nil, tried, err
			}
			conns = append(conns, c)
			s.mu.Lock()
			c.mac, c.stamps = mac, o.Timestamps
			c.send(wire.Segment{Flags: wire.SYN, Seq: o.ISN, Options: c.offer(nil)})
			c.next++
			s.mu.Unlock()
		}
		tried += searchWidth
		found, err := s.liked(ctx, conns, want)
		if found != nil || err != nil {
			return found, tried, err
		}
		again()
	}
}

// liked completes the first of the connections whose number is liked, and resets the
// others. Nil: none is.
func (s *Script) liked(ctx context.Context, conns []*Conn, want func(wire.Seq) bool) (found *Conn, err error) {
	for _, c := range conns {
		p, failed := wire.Packet{}, err
		if failed == nil {
			p, failed = c.Expect(ctx, func(p *wire.Packet) bool {
				return p.TCP.Flags.Has(wire.SYN|wire.ACK) && p.TCP.Ack == c.options.ISN+1 || p.TCP.Flags.Has(wire.RST)
			})
		}
		switch {
		case failed == nil && p.TCP.Flags.Has(wire.RST):
			failed = errors.New("the guest refuses it")
			fallthrough
		case failed != nil:
			if err == nil {
				err = fmt.Errorf("connecting to %v: %w", c.Remote, failed)
			}
		case found == nil && want(p.TCP.Seq):
			found = c
			s.mu.Lock()
			c.agree(&p.TCP)
			c.send(wire.Segment{Flags: wire.ACK, Seq: c.next})
			s.mu.Unlock()
			continue
		}
		c.Send(wire.Segment{Flags: wire.RST, Seq: c.options.ISN + 1})
		c.Forget()
	}
	if err != nil && found != nil {
		found.Forget()
		found = nil
	}
	return found, err
}
