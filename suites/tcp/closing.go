package tcp

import (
	"context"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	closingISN   wire.Seq = 1 << 30
	closingBytes          = 3000
)

// closing is F08: both ends close in every order, and what comes late, twice or behind
// the end is no reason for a reset (RFC 9293, sections 3.6 and 3.10.7; RFC 6191).
func closing() row {
	return row{
		name: "f08", layer: suites.Functional, timeout: time.Minute,
		summary: "TIME_WAIT used again, simultaneous and half closes, FINs that come early, twice or with data behind them: no reset, every byte",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: closeAll,
				Settings: map[string][]Setting{"freebsd": {localWait}}}
		},
	}
}

// localWait has FreeBSD wait for peers on the link, too: by default those of IPv6 have no
// TIME_WAIT, for in6_localaddr is asked of them and in_localip of the others.
var localWait = Setting{Name: "net.inet.tcp.nolocaltimewait", Value: "0", Optional: true, Why: "tcp_timewait.c, until October 2022"}

// closings are the orders. Each has a connection of its own, which the guest accepted.
var closings = []struct {
	name    string
	options peer.ConnOptions
	do      func(*closer, context.Context) error
}{
	{"TIME-WAIT, a later SYN", peer.ConnOptions{ISN: closingISN}, (*closer).laterSYN},
	{"TIME-WAIT, an older SYN", peer.ConnOptions{ISN: closingISN}, (*closer).olderSYN},
	{"both close at once", peer.ConnOptions{Policy: hush}, (*closer).bothAtOnce},
	{"the guest half-closes", peer.ConnOptions{}, (*closer).guestFirst},
	{"the peer half-closes", peer.ConnOptions{}, (*closer).peerFirst},
	{"data behind a FIN", peer.ConnOptions{}, (*closer).dataBehind},
	{"a FIN before the last data", peer.ConnOptions{}, (*closer).finEarly},
	{"data when the program has closed", peer.ConnOptions{}, (*closer).tooLate},
}

// closer is a connection that is to end.
type closer struct {
	*victim
	m         *matrix
	bystander *victim // another one: what it answers, the guest has had all before
}

func closeAll(ctx context.Context, b *Bed) error {
	m := &matrix{bed: b}
	if err := m.listen(ctx); err != nil {
		return err
	}
	others, err := m.open(ctx, 1, peer.ConnOptions{})
	if err != nil {
		return err
	}
	for _, c := range closings {
		victims, err := m.open(ctx, 1, c.options)
		if err != nil {
			return within(c.name, err)
		}
		x := &closer{victims[0], m, others[0]}
		if err := c.do(x, ctx); err != nil {
			return within(c.name, err)
		}
		if err := x.over(ctx); err != nil {
			return within(c.name, err)
		}
	}
	if err := others[0].over(ctx); err != nil {
		return err
	}
	return within("close of the listening socket", b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: m.listener.ID}, nil))
}

// settle waits until the guest has had what was sent, and wants no reset to have come
// of it.
func (x *closer) settle(ctx context.Context) error {
	if err := x.bystander.hears(ctx); err != nil {
		return within("another connection", err)
	}
	if x.peer.State().RST {
		return suites.Failf("the guest reset the connection")
	}
	return nil
}

// laterSYN opens it again from the same port, with a number above the last one.
func (x *closer) laterSYN(ctx context.Context) error {
	if err := x.waits(ctx); err != nil {
		return err
	}
	x.peer.Forget()
	again, err := x.m.openFrom(ctx, []uint16{x.peer.Local.Port()}, peer.ConnOptions{ISN: closingISN + 1<<20})
	if err != nil {
		return within("a new connection in its place", err)
	}
	next := again[0]
	if err := next.hears(ctx); err != nil {
		return within("a new connection in its place", err)
	}
	if err := next.speaks(ctx); err != nil {
		return within("a new connection in its place", err)
	}
	return next.over(ctx)
}

// olderSYN is a SYN that some router has kept: it ends nothing and opens nothing. And the
// peer's FIN comes again.
func (x *closer) olderSYN(ctx context.Context) error {
	if err := x.waits(ctx); err != nil {
		return err
	}
	opened := false
	if err := x.peer.SendExactly(ctx, wire.Segment{Flags: wire.SYN, Seq: closingISN - 1<<20, Window: 65535}); err != nil {
		return err
	}
	if err := x.finAgain(ctx, &opened); err != nil {
		return err
	}
	if opened {
		return suites.Failf("a SYN with an older number opened a connection in its place")
	}
	return nil
}

// finAgain sends the peer's FIN once more. It must be acknowledged again. What else comes
// is looked at for SYNs.
func (x *closer) finAgain(ctx context.Context, opened *bool) error {
	s := x.peer.State()
	x.peer.Send(wire.Segment{Flags: wire.FIN | wire.ACK, Seq: s.Next - 1, Ack: s.RcvNext})
	if err := x.expect(ctx, "the peer's FIN came again, and the guest acknowledges it", func(p *wire.Packet) bool {
		*opened = *opened || p.TCP.Flags.Has(wire.SYN)
		return p.TCP.Flags.Has(wire.ACK) && p.TCP.Ack == s.Next
	}); err != nil {
		return err
	}
	return x.settle(ctx)
}

// expect waits for a segment of the guest. One that does not come in time is a finding.
func (v *victim) expect(ctx context.Context, what string, is func(*wire.Packet) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
	defer cancel()
	_, err := v.peer.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Flags.Has(wire.RST) || is(p) })
	switch {
	case v.peer.State().RST:
		return suites.Failf("%s: it reset the connection", what)
	case err != nil && context.Cause(ctx) == errStalled:
		return stallf("%s: not within %v", what, stall)
	case err != nil:
		return peers(ctx, what, err)
	}
	return nil
}

// bothAtOnce has the FINs cross.
func (x *closer) bothAtOnce(ctx context.Context) error {
	if err := x.shut(ctx); err != nil {
		return err
	}
	s := x.peer.State()
	x.peer.Send(wire.Segment{Flags: wire.FIN | wire.ACK, Seq: s.Next, Ack: s.RcvNext - 1})
	acked := func(p *wire.Packet) bool { return p.TCP.Flags.Has(wire.ACK) && p.TCP.Ack == s.Next+1 }
	if err := x.expect(ctx, "the guest acknowledges the FIN", acked); err != nil {
		return err
	}
	x.peer.Send(wire.Segment{Flags: wire.ACK, Seq: s.Next + 1, Ack: s.RcvNext})
	if err := x.ended(ctx, 0); err != nil {
		return err
	}
	x.peer.Send(wire.Segment{Flags: wire.FIN | wire.ACK, Seq: s.Next, Ack: s.RcvNext})
	if err := x.expect(ctx, "the peer's FIN came again, and the guest acknowledges it", acked); err != nil {
		return err
	}
	return x.settle(ctx)
}

// ended has the guest read so many bytes of the content, and then the end.
func (x *closer) ended(ctx context.Context, bytes int64) error {
	var m guest.Moved
	if err := x.b.T.Guest.Call(ctx, guest.OpReceive, guest.ReceiveArgs{ID: x.id, StallS: stall.Seconds()}, &m); err != nil {
		return within("receive", err)
	}
	if err := moved("receive", m, bytes); err != nil {
		return err
	}
	if !m.Ended {
		return suites.Failf("receive: the program was not told that the peer has ended its stream")
	}
	return nil
}

// content is what the peer sends.
func (x *closer) content() []byte { return Content{Size: closingBytes}.Bytes() }

// guestFirst has the peer go on to send when the guest has sent its last.
func (x *closer) guestFirst(ctx context.Context) error {
	if err := x.shut(ctx); err != nil {
		return err
	}
	x.peer.Write(x.content())
	x.peer.CloseWrite()
	if err := x.await(ctx, "the guest acknowledges data and FIN", func(s *peer.State) bool { return s.RST || s.Una == s.Next }); err != nil {
		return err
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	return x.ended(ctx, closingBytes)
}

// peerFirst has the guest go on to send, with the peer's FIN coming again meanwhile.
func (x *closer) peerFirst(ctx context.Context) error {
	if err := x.shutByPeer(ctx); err != nil {
		return err
	}
	var opened bool
	if err := x.finAgain(ctx, &opened); err != nil {
		return err
	}
	if err := x.ended(ctx, 0); err != nil {
		return err
	}
	if err := x.speaks(ctx); err != nil {
		return err
	}
	if err := x.shut(ctx); err != nil {
		return err
	}
	return x.settle(ctx)
}

// dataBehind has the peer send behind its end. These bytes are nobody's.
func (x *closer) dataBehind(ctx context.Context) error {
	if err := x.shutByPeer(ctx); err != nil {
		return err
	}
	x.peer.Send(wire.Segment{Flags: wire.ACK | wire.PSH, Seq: x.peer.State().Next, Payload: x.content()[:1000]})
	if err := x.settle(ctx); err != nil {
		return err
	}
	if err := x.ended(ctx, 0); err != nil {
		return err
	}
	return x.speaks(ctx)
}

// finEarly has the wire bring the last segment, with the FIN, before those ahead of it.
func (x *closer) finEarly(ctx context.Context) error {
	s, data := x.peer.State(), x.content()
	const part = closingBytes / 3
	for _, i := range []int{2, 1, 0} {
		t := wire.Segment{Flags: wire.ACK | wire.PSH, Seq: s.Next + wire.Seq(i*part), Payload: data[i*part : (i+1)*part]}
		if i == 2 {
			t.Flags |= wire.FIN
		}
		x.peer.Send(t)
	}
	if err := x.expect(ctx, "the guest acknowledges data and FIN", func(p *wire.Packet) bool {
		return p.TCP.Ack == s.Next+closingBytes+1
	}); err != nil {
		return err
	}
	return x.ended(ctx, closingBytes)
}

// tooLate is data for a program that has closed its socket. That is what a reset is for
// (RFC 1122, section 4.2.2.13), and it must be one that the peer believes.
func (x *closer) tooLate(ctx context.Context) error {
	if err := x.close(ctx, false); err != nil {
		return err
	}
	if err := x.await(ctx, "the guest's FIN comes", func(s *peer.State) bool { return s.FIN }); err != nil {
		return err
	}
	s := x.peer.State()
	x.peer.Write(x.content()[:1000])
	ctx, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
	defer cancel()
	p, err := x.peer.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Flags.Has(wire.RST) })
	switch {
	case context.Cause(ctx) == errStalled:
		return stallf("the peer sent data that nobody will read, and the guest has not reset the connection within %v", stall)
	case err != nil:
		return peers(ctx, "the guest's reset comes", err)
	case p.TCP.Seq != s.RcvNext:
		return suites.Failf("the guest's reset has the number %d, and the peer believes only %d (RFC 5961, section 3.2)", p.TCP.Seq, s.RcvNext)
	}
	return nil
}
