package tcp

import (
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	dropSegments = 20
	// dropRTT is long beside what a guest and its host take, so that no timer of the
	// guest hangs on that.
	dropRTT = 20 * time.Millisecond
	// dropDeadline is by when the lost segment must be on the wire, from the third
	// duplicate on.
	dropDeadline = 20 * time.Millisecond
)

// loss is a connection on which one segment is lost.
type loss struct {
	role    Role
	segment int // from 1
}

// losses are those of a run: the first segment, one that the seed chooses, and the
// last one behind which three others can tell.
func losses(draw func(n int) int) []loss {
	return []loss{{Active, 1}, {Passive, 2 + draw(dropSegments-5)}, {Active, dropSegments - 3}}
}

// dropOne is R01: of 20 segments one is lost; the peer says so by SACK or by duplicate
// acknowledgements alone. It is sent again once, by those and not by a timer.
func dropOne(name string, sack bool) row {
	how := "duplicate ACKs alone"
	if sack {
		how = "SACK"
	}
	return row{
		name: name, layer: suites.Smoke, timed: true, timeout: 30 * time.Second,
		summary: "20 segments, one is lost, " + how + " say so: sent again once, within 20 ms of the third duplicate",
		plan: func(_ Family, t *suites.T) Plan {
			d := dropping{losses: losses(t.Rand.IntN), sack: sack}
			p := Plan{Script: &peer.ScriptOptions{}, Tries: 3, Run: d.run, Look: d.look,
				Settings: withoutRACK}
			if !sack { // FreeBSD counts these for SACK only
				p.Uncounted = []judge.Counter{judge.FastRetransmits, judge.SACKSegments}
			}
			return p
		},
	}
}

// withoutRACK has a kernel tell losses by duplicates alone.
var withoutRACK = map[string][]Setting{"linux": {{Name: "net.ipv4.tcp_recovery", Value: "0", Why: "RACK needs one duplicate and a quarter of the round-trip time, not three"}}}

// dropping is what an execution of R01 loses.
type dropping struct {
	losses []loss
	sack   bool
}

// rules lose the segments of streams that come after so many others.
func (d *dropping) rules(before int) (rules []wire.Rule) {
	for i, l := range d.losses {
		n := before + i + 1
		rules = append(rules, wire.DropMask(fmt.Sprintf("segment %d of stream %d", l.segment, n), n, wire.FromGuest, 1<<(l.segment-1)))
	}
	return append(rules, wire.Rule{Name: "path", Do: wire.Action{Delay: &wire.Delay{Fixed: wire.Duration(dropRTT / 2)}}})
}

func (d *dropping) run(ctx context.Context, b *Bed) error {
	if err := b.Cable.SetRules(d.rules(b.Streams())); err != nil {
		return err
	}
	for i, l := range d.losses {
		if err := sendAll(ctx, b, l.role, peer.ConnOptions{NoSACK: !d.sack}); err != nil {
			return within(fmt.Sprintf("connection %d, %s", i+1, l.role), err)
		}
	}
	return nil
}

func (d *dropping) look(b *Bed, e *Evidence) error {
	worst := time.Duration(0)
	for i, l := range d.losses {
		late, err := judgeLoss(e.Stream(b.Conns()[i]), l)
		if err != nil {
			return within(fmt.Sprintf("connection %d, %s, segment %d lost", i+1, l.role, l.segment), err)
		}
		worst = max(worst, late)
	}
	b.Measure("retransmit_after_dup_s", worst.Seconds())
	if n := e.Kernel[judge.Timeouts]; n > 0 {
		return latef("the kernel counted %d retransmission timeouts", n)
	}
	return nil
}

// sendAll opens a connection to the script, has the guest send its segments, and
// closes it when all have come.
func sendAll(ctx context.Context, b *Bed, role Role, o peer.ConnOptions) error {
	return sendAllAt(ctx, b, role, b.nextPort(), o)
}

// sendAllAt is sendAll with a port of the script's that rules know.
func sendAllAt(ctx context.Context, b *Bed, role Role, port uint16, o peer.ConnOptions) error {
	c, err := b.DialScriptAt(ctx, role, port, o, nil)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, int64(dropSegments*b.MSS()), false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return c.Close(ctx)
}

// judgeLoss looks for the one retransmission of the lost segment, and says how long
// after the third duplicate it came; below 0: before.
func judgeLoss(s *judge.Stream, l loss) (time.Duration, error) {
	if s == nil {
		return 0, fmt.Errorf("nothing of it was on the wire")
	}
	var lost, again *judge.Sent
	for i := range s.Sent {
		switch p := &s.Sent[i]; {
		case p.Lost && lost == nil:
			lost = p
		case p.Again > 0 && again == nil:
			again = p
		}
	}
	switch n := s.Stats.Resent(); {
	case lost == nil:
		return 0, suites.Failf("the guest sent fewer segments than %d: none was there to be lost", l.segment)
	case n == 0:
		return 0, suites.Failf("it came, though the lost segment was never sent again")
	case n > 1:
		return 0, latef("%d segments were sent again, want one", n)
	case again.Start != lost.Start || again.End != lost.End:
		return 0, suites.Failf("bytes %d to %d were lost, and %d to %d were sent again", lost.Start, lost.End, again.Start, again.End)
	}
	third, ok := duplicate(s, lost.Start, 3)
	if !ok {
		return 0, latef("sent again (%v) before the third duplicate ACK", again.Reason)
	}
	late := again.At - third
	if late > dropDeadline {
		return late, latef("sent again (%v) %.1f ms after the third duplicate ACK, want %v at most", again.Reason, late.Seconds()*1e3, dropDeadline)
	}
	return late, nil
}

// duplicate is when the guest got the n-th duplicate ACK for what begins at start. The
// first ACK of that number is none.
func duplicate(s *judge.Stream, start int64, n int) (time.Duration, bool) {
	for i := range s.Heard {
		if h := &s.Heard[i]; h.Ack == start && !h.Lost {
			if n--; n < 0 {
				return h.At, true
			}
		}
	}
	return 0, false
}
