package tcp

import (
	"context"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	floodSegments = 1680 // of a kind before anything is suspected; of all kinds 10,080
	floodConns    = 4
	floodBatch    = 60 // segments of a connection before the guest must have taken them in
)

// floodKinds are segments that an established connection must not take. The first three
// are answered by challenge ACKs, of which a kernel sends so many a second and no more
// (RFC 5961, section 10): the segments beyond are to be thrown away, not forgotten.
var floodKinds = []struct {
	name string
	make func(s *peer.State) wire.Segment
}{
	{"SYN", func(s *peer.State) wire.Segment { return wire.Segment{Flags: wire.SYN, Seq: s.Next, Window: 65535} }},
	{"RST within the window", func(s *peer.State) wire.Segment { return wire.Segment{Flags: wire.RST, Seq: s.Next + 1} }},
	{"ACK of what was not sent", func(s *peer.State) wire.Segment {
		return wire.Segment{Flags: wire.ACK, Seq: s.Next, Ack: s.RcvNext + 1_000_000}
	}},
	{"ACK of long ago", func(s *peer.State) wire.Segment {
		return wire.Segment{Flags: wire.ACK, Seq: s.Next, Ack: s.IRS - 500_000_000}
	}},
	{"time stamp of long ago (PAWS)", func(s *peer.State) wire.Segment {
		t := wire.Segment{Flags: wire.ACK | wire.PSH, Seq: s.Next, Ack: s.RcvNext, Payload: make([]byte, 100)}
		t.Options.HasTime, t.Options.TSVal = true, uint32(time.Now().Add(-time.Hour).UnixMilli())
		return t
	}},
	{"data out of the window", func(s *peer.State) wire.Segment {
		return wire.Segment{Flags: wire.ACK | wire.PSH, Seq: s.Next + 100_000_000, Ack: s.RcvNext, Payload: make([]byte, 100)}
	}},
}

// flood is L03: 10,000 segments that established connections must not take, and no
// buffer stays in use of them.
func flood() row {
	return row{
		name: "l03", layer: suites.Functional, timeout: 5 * time.Minute,
		summary: "10,000 segments that established connections must not take: no buffer stays in use, and the connections live",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: floodAll,
				Expect: func(x *judge.Expect) { x.Off = append(x.Off, judge.BadEcho) }} // PAWS has no echo of ours
		},
	}
}

// flooded are the connections.
type flooded struct{ conns []*victim }

func floodAll(ctx context.Context, b *Bed) error {
	m := &matrix{bed: b}
	if err := m.listen(ctx); err != nil {
		return err
	}
	conns, err := m.open(ctx, floodConns, peer.ConnOptions{Timestamps: true})
	if err != nil {
		return err
	}
	f := &flooded{conns: conns}
	var kinds []*repeated
	for _, k := range floodKinds {
		kinds = append(kinds, &repeated{what: k.name, unit: "segments", n: floodSegments, steps: leakSteps,
			rounds: func(ctx context.Context, count int) error { return f.rounds(ctx, count, k.make) },
			quiet:  func(context.Context, *Bed) error { return nil }})
	}
	if err := kinds[0].make(ctx, floodBatch*floodConns); err != nil {
		return err
	}
	began := b.Cable.Now()
	if err := screen(ctx, b, kinds); err != nil {
		return err
	}
	b.Measure("flood_s", (b.Cable.Now() - began).Seconds())
	for _, v := range conns {
		if err := v.speaks(ctx); err != nil {
			return within("a connection has not survived it", err)
		}
		if err := v.over(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rounds sends so many segments of a kind, to each connection in turn.
func (f *flooded) rounds(ctx context.Context, count int, kind func(*peer.State) wire.Segment) error {
	for sent := 0; sent < count; {
		for _, v := range f.conns {
			state := v.peer.State()
			for range min(floodBatch, count-sent) {
				t := kind(&state)
				if t.Flags.Has(wire.ACK) {
					v.peer.Send(t)
				} else if err := v.peer.SendExactly(ctx, t); err != nil {
					return err
				}
				sent++
			}
			v.peer.Write([]byte{0})
		}
		for _, v := range f.conns {
			if err := v.await(ctx, "the guest acknowledges a byte behind them", func(s *peer.State) bool { return s.Una == s.Next }); err != nil {
				return err
			}
			var m guest.Moved
			if err := v.b.T.Guest.Call(ctx, guest.OpReceive, guest.ReceiveArgs{ID: v.id, Bytes: 1, StallS: stall.Seconds()}, &m); err != nil {
				return within("receive", err)
			}
			if m.Errno != "" || m.Stalled {
				return within("a connection has not survived it", moved("receive", m, 1))
			}
		}
	}
	return nil
}
