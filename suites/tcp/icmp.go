package tcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	icmpBytes = 1000
	icmpMTU   = 1300 // that a router on the way says it has; IPv6 has no less than 1280
	icmpHole  = 1300 // bytes: longer frames vanish in the black hole
	// icmpLate is by when a sender that was told sends no longer segments any more.
	icmpLate = 500 * time.Millisecond
)

// icmpError is a message that tells of a packet's fate.
type icmpError struct {
	name       string
	kind, code byte
	hard       bool // RFC 1122, section 4.2.3.9: before a connection stands it may end it
}

// icmpErrors are those of a family (RFC 792, RFC 1812; RFC 4443).
func icmpErrors(f Family) []icmpError {
	if f == V6 {
		return []icmpError{
			{"no route", 1, 0, false}, {"prohibited", 1, 1, true}, {"address unreachable", 1, 3, false},
			{"port unreachable", 1, 4, true}, {"hop limit exceeded", 3, 0, false}, {"unknown next header", 4, 1, true},
		}
	}
	return []icmpError{
		{"net unreachable", 3, 0, false}, {"host unreachable", 3, 1, false}, {"protocol unreachable", 3, 2, true},
		{"port unreachable", 3, 3, true}, {"prohibited", 3, 13, true}, {"time exceeded", 11, 0, false},
	}
}

// softEnds are errors that a stack lets end a connection that does not stand yet, though
// RFC 1122 says that soft ones must not. RFC 5461, section 3.1, has the reasons.
var softEnds = map[string][]string{
	"linux":   {"EHOSTUNREACH", "ENETUNREACH"}, // net/ipv4/tcp_ipv4.c, tcp_v4_err; net/ipv6/tcp_ipv6.c
	"freebsd": nil,                             // netinet/tcp_subr.c, tcp_notify: after four SYNs
}

// hardEnds are what a hard one may be for the program.
var hardEnds = []string{"ECONNREFUSED", "ENOPROTOOPT", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPROTO", "EHOSTDOWN"}

// icmp is F05: what routers say, and what they do not say.
func icmp() row {
	return row{
		name: "f05", layer: suites.Functional, timeout: 3 * time.Minute,
		summary: "ICMP errors end nothing that stands; too big and black holes make segments shorter, forged ones do not",
		plan: func(Family, *suites.T) Plan {
			p := &icmpParts{}
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: p.run, Look: p.look,
				Settings: map[string][]Setting{
					"freebsd": {
						{Name: "net.inet.tcp.pmtud_blackhole_detection", Value: "1", Why: "tcp_timer.c; off by default"},
						{Name: "net.inet.tcp.icmp_may_rst", Value: "1", Why: "tcp_subr.c; hard errors end connections that do not stand yet"},
					},
					"linux": {{Name: "net.ipv4.tcp_mtu_probing", Value: "1", Why: "after timeouts; off by default"}},
				}}
		},
	}
}

// icmpParts remembers what its parts are to be judged by.
type icmpParts struct {
	forged, told *Conn
	toldAt       time.Duration
}

func (p *icmpParts) run(ctx context.Context, b *Bed) error {
	for _, part := range []struct {
		name string
		do   func(context.Context, *Bed) error
	}{
		{"established", icmpEstablished}, {"connecting", icmpConnecting},
		{"too big, forged", p.forgedTooBig}, {"black hole", icmpBlackHole},
		{"too big", p.tooBig}, // the last: Linux remembers it for the address
	} {
		if err := part.do(ctx, b); err != nil {
			return within(part.name, err)
		}
	}
	return nil
}

// icmpEstablished sends each error about data that is outstanding. The connection goes on
// (RFC 5927, section 5.2).
func icmpEstablished(ctx context.Context, b *Bed) error {
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{Policy: hush}, nil)
	if err != nil {
		return err
	}
	for _, e := range icmpErrors(b.Family) {
		if err := c.Send(ctx, icmpBytes, false); err != nil {
			return err
		}
		if err := c.Arrived(ctx); err != nil {
			return err
		}
		if err := b.tell(ctx, e, 0, c.Flow, c.Script.State().RcvNext-icmpBytes, icmpBytes); err != nil {
			return err
		}
		c.Script.Ack()
		c.Script.Write([]byte{0})
		if err := awaitState(ctx, c.Script, "the guest acknowledges data", func(s *peer.State) bool { return s.RST || s.Una == s.Next }); err != nil {
			return within(e.name, err)
		}
		if c.Script.State().RST {
			return suites.Failf("%s: the guest reset the connection", e.name)
		}
	}
	return c.Close(ctx)
}

// icmpConnecting sends each error about a SYN. One that quotes what was not sent changes
// nothing (RFC 5927, section 4.1), nor does a soft one; a hard one may end it.
func icmpConnecting(ctx context.Context, b *Bed) error {
	errs := icmpErrors(b.Family)
	forged := errs[3]
	for i, e := range append(errs, forged) {
		allowed := softEnds[b.T.Guest.OS()]
		if e.hard {
			allowed = hardEnds
		}
		name, off := e.name, wire.Seq(0)
		if i == len(errs) {
			name, off, allowed = e.name+", forged", 100_000, nil
		}
		if err := b.connectingTold(ctx, e, off, allowed); err != nil {
			return within(name, err)
		}
	}
	return nil
}

// connectingTold has the guest connect, sends the error, and answers the next SYN. The
// errors that may come of it are allowed.
func (b *Bed) connectingTold(ctx context.Context, e icmpError, off wire.Seq, allowed []string) error {
	port := b.nextPort()
	to := netip.AddrPortFrom(b.Family.Of(b.Script.Address()), port)
	var s guest.Socket
	var c *peer.Conn
	over := errors.New("the guest has ended it")
	waiting, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	err := all(ctx,
		func(ctx context.Context) error {
			args := guest.ConnectArgs{Network: b.Family.Network(), Addr: to.String(), TimeoutS: stall.Seconds()}
			err := b.T.Guest.Call(ctx, guest.OpConnect, args, &s)
			ended(over)
			return within("connect", err)
		},
		func(ctx context.Context) error {
			first, err := b.Script.Expect(ctx, func(p *wire.Packet) bool { return p.IsTCP && p.TCP.DstPort == port })
			if err != nil {
				return peers(ctx, "the guest's SYN comes", err)
			}
			if err := b.tell(ctx, e, 0, first.Flow(wire.FromGuest), first.TCP.Seq+off, 0); err != nil {
				return err
			}
			c, err = b.Script.Accept(waiting, port, peer.ConnOptions{})
			if context.Cause(waiting) == over {
				return nil
			}
			return peersIf(waiting, err)
		})
	if c != nil {
		defer c.Forget()
	}
	switch {
	case err != nil:
		return err
	case s.TimedOut:
		return stallf("connect: nothing came of it in %.1f s", s.Duration)
	case s.Errno != "" && !slices.Contains(allowed, s.Errno):
		return suites.Failf("the connection ended with %s", s.Errno)
	case s.ID == 0:
		return nil
	}
	return within("close", b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: s.ID, Abort: true}, nil))
}

// forgedTooBig quotes what was not sent: segments stay as long as they are.
func (p *icmpParts) forgedTooBig(ctx context.Context, b *Bed) (err error) {
	p.forged, err = b.tooBig(ctx, 500_000_000, func() {})
	return err
}

// tooBig quotes what is outstanding: it is sent again in shorter segments, and so is all
// that follows (RFC 1191, RFC 8201).
func (p *icmpParts) tooBig(ctx context.Context, b *Bed) (err error) {
	p.told, err = b.tooBig(ctx, 0, func() { p.toldAt = b.Cable.Now() })
	return err
}

// tooBig opens a connection, and says of its first segment, or of one that lies off from
// it, that it was too big; then it takes what comes.
func (b *Bed) tooBig(ctx context.Context, off wire.Seq, note func()) (*Conn, error) {
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{Policy: hush}, nil)
	if err != nil {
		return nil, err
	}
	size := b.MSS()
	if err := c.Send(ctx, int64(8*size), false); err != nil {
		return nil, err
	}
	if err := c.Arrived(ctx); err != nil {
		return nil, err
	}
	note()
	if err := b.tell(ctx, b.tooBigError(), icmpMTU, c.Flow, c.Script.State().IRS+1+off, size); err != nil {
		return nil, err
	}
	// The guest sends something again, at the latest when its timer runs out.
	if _, err := c.Script.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Seq == c.Script.State().IRS+1 && len(p.TCP.Payload) > 0 }); err != nil {
		return nil, peers(ctx, "the first segment comes again", err)
	}
	c.Script.SetPolicy(peer.Policy{})
	c.Script.Ack()
	if err := c.Send(ctx, int64(20*size), false); err != nil {
		return nil, err
	}
	if err := c.Arrived(ctx); err != nil {
		return nil, err
	}
	return c, c.Close(ctx)
}

func (b *Bed) tooBigError() icmpError {
	if b.Family == V6 {
		return icmpError{"packet too big", 2, 0, false}
	}
	return icmpError{"fragmentation needed", 3, 4, false}
}

// icmpBlackHole loses long frames and says nothing. After some timeouts the guest tries
// shorter ones (RFC 4821).
func icmpBlackHole(ctx context.Context, b *Bed) error {
	rule := wire.Rule{Name: "black hole", Match: wire.Match{Dir: wire.FromGuest, MinLength: icmpHole}, Do: wire.Action{Drop: true}}
	if err := b.Cable.SetRules([]wire.Rule{rule}); err != nil {
		return err
	}
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{}, nil)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, int64(8*b.MSS()), false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return errors.Join(c.Close(ctx), b.Cable.SetRules(nil))
}

// tell sends an error about a segment of the guest. The packet is quoted with as much of
// it as every router gives: the IP header and 8 bytes (RFC 792), more with IPv6.
func (b *Bed) tell(ctx context.Context, e icmpError, mtu uint16, flow wire.Flow, seq wire.Seq, length int) error {
	quoted := wire.Packet{EtherType: wire.EtherIPv4, Src: flow.Guest.Addr(), Dst: flow.Peer.Addr(), Proto: wire.ProtoTCP, IsTCP: true,
		TCP: wire.Segment{SrcPort: flow.Guest.Port(), DstPort: flow.Peer.Port(), Seq: seq, Flags: wire.ACK, Payload: make([]byte, length)}}
	proto, keep := uint8(wire.ProtoICMP), 20+8
	if b.Family == V6 {
		quoted.EtherType, proto, keep = wire.EtherIPv6, wire.ProtoICMPv6, 40+20
	}
	m := []byte{e.kind, e.code, 0, 0, 0, 0, 0, 0}
	if mtu > 0 && b.Family == V6 {
		binary.BigEndian.PutUint32(m[4:], uint32(mtu))
	} else {
		binary.BigEndian.PutUint16(m[6:], mtu)
	}
	m = append(m, quoted.Append(nil)[14:14+keep]...)
	to := b.Family.Of(b.Guest())
	sum := wire.Checksum(0, m)
	if b.Family == V6 {
		sum = wire.Checksum(wire.PseudoHeader(b.Family.Of(b.Script.Address()), to, proto, len(m)), m)
	}
	binary.BigEndian.PutUint16(m[2:], sum)
	return b.Script.Send(ctx, wire.Packet{Dst: to, Proto: proto, Payload: m})
}

func (p *icmpParts) look(b *Bed, e *Evidence) error {
	if s := e.Stream(p.forged); s == nil || longest(s, 0) < int64(b.MSS()) {
		return suites.Failf("too big, forged: the segments became shorter, though the error quotes what was never sent")
	}
	limit := int64(icmpMTU - 40)
	if b.Family == V6 {
		limit -= 20
	}
	s := e.Stream(p.told)
	if s == nil {
		return fmt.Errorf("nothing of the connection was on the wire")
	}
	if n := longest(s, p.toldAt+icmpLate); n > limit {
		return latef("too big: a segment of %d bytes %v after it was told that %d are too many", n, icmpLate, limit+1)
	}
	b.Measure("segment_after_too_big_bytes", float64(longest(s, p.toldAt+icmpLate)))
	return nil
}

// longest is the most bytes that a segment had from a time on.
func longest(s *judge.Stream, from time.Duration) (n int64) {
	for i := range s.Sent {
		if x := &s.Sent[i]; x.At >= from && x.Flags&wire.SYN == 0 {
			n = max(n, x.End-x.Start)
		}
	}
	return n
}
