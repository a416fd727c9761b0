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
	calmSegments = 40
	calmHeld     = 7 // each so-manieth segment is overtaken, where some are
)

// calmPath is a path that loses nothing, and is not even.
type calmPath struct {
	name   string
	rtt    time.Duration
	jitter bool          // each way by a quarter of the round-trip time, in order
	late   int           // segments that overtake a held one: fewer than three
	delay  time.Duration // of the peer's ACKs of less than two segments
	window int           // segments; 0: 44 and more
}

// calmPaths are those of R05.
var calmPaths = []calmPath{
	{name: "1 ms", rtt: time.Millisecond},
	{name: "1 ms, jitter", rtt: time.Millisecond, jitter: true},
	{name: "20 ms, jitter", rtt: 20 * time.Millisecond, jitter: true},
	{name: "100 ms, jitter", rtt: 100 * time.Millisecond, jitter: true},
	{name: "300 ms, jitter", rtt: 300 * time.Millisecond, jitter: true},
	{name: "overtaken by one", rtt: 20 * time.Millisecond, late: 1},
	{name: "overtaken by two", rtt: 20 * time.Millisecond, late: 2},
	{name: "ACKs after 40 ms", rtt: 20 * time.Millisecond, delay: 40 * time.Millisecond},
	{name: "ACKs after 200 ms", rtt: 20 * time.Millisecond, delay: 200 * time.Millisecond},
	{name: "a window of one segment", rtt: 20 * time.Millisecond, window: 1},
	{name: "a window of five segments, jitter", rtt: 20 * time.Millisecond, window: 5, jitter: true},
}

// calm is R05: nothing is lost, and nothing is sent again, whatever the path is like.
func calm() row {
	return row{
		name: "r05", layer: suites.Functional, timed: true, timeout: time.Minute,
		summary: "nothing lost: 1 to 300 ms, jitter, overtaking by two, ACKs that are late, small windows: nothing is sent again",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Rounds: len(calmPaths), Run: calmRun, Look: calmLook, Settings: withoutRACK,
				Expect: func(x *judge.Expect) { x.NoResend = true }}
		},
	}
}

// rules of the path for the connections of a port of the script's.
func (p calmPath) rules(port uint16) (rules []wire.Rule) {
	if p.late > 0 {
		var held []int
		for n := calmHeld; n <= calmSegments-p.late; n += calmHeld {
			held = append(held, n)
		}
		// A held frame goes when others have passed: so these must not wait themselves.
		return []wire.Rule{
			{Name: "held", Match: wire.Match{Dir: wire.FromGuest, Port: port, Segment: held},
				Do: wire.Action{Hold: &wire.Hold{Frames: p.late, Limit: wire.Duration(p.rtt)}}},
			{Name: "path", Match: wire.Match{Dir: wire.ToGuest}, Do: wire.Action{Delay: &wire.Delay{Fixed: wire.Duration(p.rtt), InOrder: true}}},
		}
	}
	d := wire.Delay{Fixed: wire.Duration(p.rtt / 2), InOrder: true}
	if p.jitter {
		d.Jitter = wire.Duration(p.rtt / 4)
	}
	return append(rules, wire.Rule{Name: "path", Do: wire.Action{Delay: &d}})
}

func calmRun(ctx context.Context, b *Bed) error {
	p, port := calmPaths[b.Round()], b.nextPort()
	if err := b.Cable.SetRules(p.rules(port)); err != nil {
		return err
	}
	o := peer.ConnOptions{}
	if p.delay > 0 {
		o.Policy = peer.Policy{Every: 2, Delay: wire.Duration(p.delay)}
	}
	if p.window > 0 {
		o.Window, o.Scale = uint16(p.window*b.MSS()), -1
	}
	role := Active + Role(b.Round()%2)
	c, err := b.DialScriptAt(ctx, role, port, o, nil)
	if err != nil {
		return within(p.name, err)
	}
	// An odd number, so that the last ACK is a late one; in two writes, with a pause
	// that follows from the first one's arrival.
	for _, n := range []int{calmSegments / 2, calmSegments/2 + 1} {
		if err := c.Send(ctx, int64(n*b.MSS()), false); err != nil {
			return within(p.name, err)
		}
		if err := c.Arrived(ctx); err != nil {
			return within(p.name, err)
		}
	}
	return within(p.name, c.Close(ctx))
}

// calmLook has nothing to add to the judge's findings but the kernel's own opinion, and
// that the path was what it should be.
func calmLook(b *Bed, e *Evidence) error {
	p := calmPaths[b.Round()]
	s := e.Stream(b.Conns()[0])
	if s == nil {
		return fmt.Errorf("%s: the connection was not on the wire", p.name)
	}
	if n := e.Kernel[judge.Timeouts]; n > 0 {
		return latef("%s: the kernel counted %d retransmission timeouts", p.name, n)
	}
	if p.late > 0 && !overtaken(s) {
		return fmt.Errorf("%s: no segment was overtaken", p.name)
	}
	return nil
}

// overtaken says whether the peer had to acknowledge a gap.
func overtaken(s *judge.Stream) bool {
	for i := range s.Heard {
		if len(s.Heard[i].SACK) > 0 {
			return true
		}
	}
	return false
}
