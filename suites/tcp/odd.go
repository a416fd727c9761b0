package tcp

import (
	"context"
	"errors"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	oddTimes = 3 // that a segment is sent
	oddWatch = 5 * time.Second
	// oddLoop is how many segments a second a TCP that follows the RFCs answers because
	// it cannot accept them, before that is a loop: no answer should need another one.
	oddLoop = 10
)

// oddKind is a segment that does not belong where it is sent.
type oddKind struct {
	name string
	make func(next, ack wire.Seq) wire.Segment // next: that the guest expects; ack: what it may have acknowledged
}

var oddKinds = []oddKind{
	{"SYN", func(next, _ wire.Seq) wire.Segment { return wire.Segment{Flags: wire.SYN, Seq: next} }},
	{"SYN|FIN", func(next, _ wire.Seq) wire.Segment { return wire.Segment{Flags: wire.SYN | wire.FIN, Seq: next} }},
	{"RST within the window", func(next, _ wire.Seq) wire.Segment { return wire.Segment{Flags: wire.RST, Seq: next + 1} }},
	{"ACK of what was not sent", func(next, ack wire.Seq) wire.Segment {
		return wire.Segment{Flags: wire.ACK, Seq: next, Ack: ack + 1_000_000}
	}},
}

// odd is F06: segments that do not belong there, in each state. A TCP answers each once
// at most, the answers ask for no others, and connections live on (RFC 9293, section
// 3.10.7; RFC 5961, sections 3 to 5).
func odd() row {
	return row{
		name: "f06", layer: suites.Functional, timeout: time.Minute,
		summary: "SYN, SYN|FIN, RST in the window, ACK of nothing, in each state: one answer each, no loop, connections live on",
		plan: func(Family, *suites.T) Plan {
			o := &oddities{}
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Tries: 3, Uncounted: resentCounts, Run: o.run, Look: o.look,
				// It is the script that resets, closes twice, and answers for ports that have no
				// connection.
				Expect: func(x *judge.Expect) { x.Off = append(x.Off, judge.BadRST, judge.AfterReset, judge.AckAhead) }}
		},
	}
}

// oddity is a connection that is sent something odd.
type oddity struct {
	state, kind string
	flow        wire.Flow
	from, to    time.Duration // between which answers are counted
	*victim                   // nil: the handshake was not completed
	alive       func(*victim, context.Context) error
}

// oddStates are the states that a handshake leads to, in the words of RFC 9293.
var oddStates = []struct {
	name    string
	options peer.ConnOptions
	reach   func(*victim, context.Context) error
	alive   func(*victim, context.Context) error // nil: nothing more can be sent
}{
	{"ESTABLISHED", peer.ConnOptions{}, func(*victim, context.Context) error { return nil }, func(v *victim, ctx context.Context) error {
		return errors.Join(v.hears(ctx), v.speaks(ctx))
	}},
	{"FIN-WAIT-1", peer.ConnOptions{Policy: hush}, (*victim).shut, nil},
	{"FIN-WAIT-2", peer.ConnOptions{}, (*victim).shut, (*victim).hears},
	{"CLOSE-WAIT", peer.ConnOptions{}, (*victim).shutByPeer, (*victim).speaks},
	{"CLOSING", peer.ConnOptions{Policy: hush}, (*victim).closing, nil},
	{"LAST-ACK", peer.ConnOptions{Policy: hush}, (*victim).lastAck, nil},
	{"TIME-WAIT", peer.ConnOptions{}, (*victim).timeWait, nil},
}

// closing has both ends close without the guest's FIN being acknowledged.
func (v *victim) closing(ctx context.Context) error {
	if err := v.shut(ctx); err != nil {
		return err
	}
	s := v.peer.State()
	v.peer.Send(wire.Segment{Flags: wire.FIN | wire.ACK, Seq: s.Next, Ack: s.IRS + 1})
	_, err := v.peer.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Ack == s.Next+1 })
	return within("the guest acknowledges the FIN", peersIf(ctx, err))
}

func (v *victim) lastAck(ctx context.Context) error {
	if err := v.shutByPeer(ctx); err != nil {
		return err
	}
	return v.shut(ctx)
}

func (v *victim) timeWait(ctx context.Context) error {
	if err := v.shut(ctx); err != nil {
		return err
	}
	return v.shutByPeer(ctx)
}

// hears has the guest acknowledge some bytes, speaks send some.
func (v *victim) hears(ctx context.Context) error {
	v.peer.Write(make([]byte, abortBytes))
	return v.await(ctx, "the guest acknowledges data", func(s *peer.State) bool { return s.Una == s.Next })
}

func (v *victim) speaks(ctx context.Context) error {
	had := len(v.peer.State().Received)
	if err := v.send(ctx, abortBytes); err != nil {
		return err
	}
	return v.await(ctx, "the guest's data comes", func(s *peer.State) bool { return len(s.Received) >= had+abortBytes })
}

// oddities are those of an execution of F06.
type oddities struct {
	all   []*oddity
	burst burst
}

func (o *oddities) run(ctx context.Context, b *Bed) error {
	o.all = nil
	m := &matrix{bed: b, port: uint16(1000 * b.Streams())}
	if err := m.listen(ctx); err != nil {
		return err
	}
	for _, s := range oddStates {
		victims, err := m.open(ctx, len(oddKinds), s.options)
		if err != nil {
			return within(s.name, err)
		}
		if err := eachOf(ctx, victims, s.reach); err != nil {
			return within(s.name, err)
		}
		for i, v := range victims {
			o.all = append(o.all, &oddity{state: s.name, kind: oddKinds[i].name, victim: v, alive: s.alive,
				flow: wire.Flow{Guest: v.peer.Remote, Peer: v.peer.Local}})
		}
	}
	watched := make([]func(context.Context) error, 0, len(o.all)+1)
	for i, x := range o.all {
		kind := oddKinds[i%len(oddKinds)]
		watched = append(watched, func(ctx context.Context) error { return x.disturb(ctx, kind) })
	}
	opening := opening{matrix: m}
	watched = append(watched, opening.watch)
	if err := all(ctx, watched...); err != nil {
		return err
	}
	o.all = append(o.all, opening.all...)
	if err := o.flood(ctx, b, m.port); err != nil {
		return err
	}
	return o.live(ctx, b, m)
}

// disturb sends the segment, and answers as a TCP does what it could not accept.
func (x *oddity) disturb(ctx context.Context, kind oddKind) error {
	s := x.peer.State()
	next := s.Next
	if x.state == "CLOSING" {
		next++ // the FIN was sent by hand
	}
	x.from = x.b.Cable.Now()
	for range oddTimes {
		t := kind.make(next, s.RcvNext)
		if t.Flags.Has(wire.ACK) {
			x.peer.Send(t)
		} else if err := x.peer.SendExactly(ctx, t); err != nil {
			return err
		}
	}
	over := errors.New("watched for long enough")
	ctx, cancel := context.WithTimeoutCause(ctx, oddWatch, over)
	defer cancel()
	for {
		p, err := x.peer.Expect(ctx, func(p *wire.Packet) bool {
			return p.TCP.Len() == 0 && p.TCP.Flags.Has(wire.ACK) && (p.TCP.Seq != s.RcvNext || p.TCP.Ack != next)
		})
		if context.Cause(ctx) == over {
			x.to = x.b.Cable.Now()
			return nil
		}
		if err != nil {
			return peers(ctx, "the peer watches", err)
		}
		if !p.TCP.Flags.Has(wire.RST) {
			x.peer.Send(wire.Segment{Flags: wire.ACK, Seq: next, Ack: s.RcvNext})
		}
	}
}

// live looks whether the connections are what they were, and takes them away.
func (o *oddities) live(ctx context.Context, b *Bed, m *matrix) error {
	for _, x := range o.all {
		if x.victim == nil || x.state == "TIME-WAIT" {
			continue
		}
		where := x.state + ", " + x.kind
		if x.peer.State().RST {
			return within(where, suites.Failf("the guest reset the connection"))
		}
		if x.alive != nil {
			if err := x.alive(x.victim, ctx); err != nil {
				return within(where+": the connection has not survived it", err)
			}
		}
	}
	for _, x := range o.all {
		if x.victim == nil {
			continue
		}
		if err := x.over(ctx); err != nil {
			return err
		}
	}
	return within("close of the listening socket", b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: m.listener.ID}, nil))
}

// look counts the answers on the wire.
func (o *oddities) look(b *Bed, e *Evidence) error {
	for _, x := range o.all {
		asked, answers := dialogue(e.Trace, x.flow, x.from, x.to)
		if err := judgeAnswers(asked, answers, x.to-x.from); err != nil {
			return within(x.state+", "+x.kind, err)
		}
	}
	b.Measure("oddities", float64(len(o.all)))
	return o.burst.look(b, e)
}

// judgeAnswers judges how many segments without data came of so many.
func judgeAnswers(asked, answers int, watched time.Duration) error {
	if limit := oddTimes + int(oddLoop*watched.Seconds()); asked > limit {
		return suites.Failf("a loop of acknowledgements: %d answers within %.1f s that the other end could not accept, %d a second are many",
			asked-oddTimes, watched.Seconds(), oddLoop)
	}
	if answers > asked {
		return suites.Failf("%d segments were answered by %d, want one each at most", asked, answers)
	}
	return nil
}

// dialogue counts on a flow, within a time, what was given to the guest, and what it
// sent that takes no sequence space: its answers, but no resends.
func dialogue(t *wire.Trace, flow wire.Flow, from, to time.Duration) (asked, answers int) {
	var p wire.Packet
	for i := range t.Events {
		e := &t.Events[i]
		if e.At < from || e.At > to {
			continue
		}
		if p.Decode(e.Frame); !p.IsTCP || p.Flow(e.Dir) != flow {
			continue
		}
		switch {
		case e.Dir == wire.ToGuest:
			asked += len(e.Passed)
		case p.TCP.Len() == 0:
			answers++
		}
	}
	return asked, answers
}
