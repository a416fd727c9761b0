package tcp

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	icmpBytes = 1000
	icmpMTU   = 1300 // that a router on the way says it has; IPv6 has no less than 1280
	icmpHole  = 1300 // bytes: longer frames vanish in the black hole
	icmpFirst = 8    // segments that are outstanding when an error tells of the first of them
)

// icmpError is a message that tells of a packet's fate.
type icmpError struct {
	name       string
	kind, code byte
	hard       bool // RFC 1122, section 4.2.3.9: before a connection stands it may end it
	transit    bool // its time to live was over on the way
}

// icmpErrors are those of a family (RFC 792, RFC 1812; RFC 4443).
func icmpErrors(f Family) []icmpError {
	if f == V6 {
		return []icmpError{
			{"no route", 1, 0, false, false}, {"prohibited", 1, 1, true, false}, {"address unreachable", 1, 3, false, false},
			{"port unreachable", 1, 4, true, false}, {"hop limit exceeded", 3, 0, false, true}, {"unknown next header", 4, 1, true, false},
		}
	}
	return []icmpError{
		{"net unreachable", 3, 0, false, false}, {"host unreachable", 3, 1, false, false}, {"protocol unreachable", 3, 2, true, false},
		{"port unreachable", 3, 3, true, false}, {"prohibited", 3, 13, true, false}, {"time exceeded", 11, 0, false, true},
	}
}

// softEnds are what soft errors, by their kind, may be for the program while a connection
// does not stand yet, though RFC 1122 says that they must not end it. RFC 5461, section
// 3.1, has the reasons.
var softEnds = map[string]func(e icmpError) []string{
	// net/ipv4/tcp_ipv4.c, tcp_v4_err; net/ipv6/tcp_ipv6.c
	"linux": func(icmpError) []string { return []string{"EHOSTUNREACH", "ENETUNREACH"} },
	// netinet/tcp_subr.c, tcp_ctlinput: PRC_TIMXCEED_INTRANS with icmp_may_rst; of others
	// tcp_notify keeps the memory only.
	"freebsd": func(e icmpError) []string {
		if e.transit {
			return []string{"EHOSTUNREACH"}
		}
		return nil
	},
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
type icmpParts struct{ forged, told *Conn }

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
		allowed := hardEnds
		if soft := softEnds[b.T.Guest.OS()]; !e.hard && soft != nil {
			allowed = soft(e)
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
