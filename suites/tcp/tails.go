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
	tailSegments = 12
	tailLost     = 3 // segments at most
)

// tails is R03: the last one to three segments are lost, once and twice. Nothing behind
// them can tell, so a timer or a probe must.
func tails() row {
	return row{
		name: "r03", layer: suites.Functional, timed: true, timeout: 3 * time.Minute,
		summary: "the last 1 to 3 of 12 segments lost, once and twice: sent again by a timer, in time, with twice the gap the second time",
		plan: func(Family, *suites.T) Plan {
			t := tailing{}
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Rounds: 2 * tailLost, Run: t.run, Look: t.look, Uncounted: causes}
		},
	}
}

type tailing struct{}

// lost says how many segments of a round are lost, and how often.
func (tailing) lost(round int) (segments, times int) { return 1 + round/2, 1 + round%2 }

func (t tailing) run(ctx context.Context, b *Bed) error {
	port, mss := b.nextPort(), b.MSS()
	segments, times := t.lost(b.Round())
	var nth []int
	for i := range times {
		nth = append(nth, i+1)
	}
	from, to := int64(mss*(tailSegments-segments)), int64(mss*tailSegments)
	rule := wire.Rule{Name: fmt.Sprintf("the last %d", segments), Do: wire.Action{Drop: true}, Match: wire.Match{
		Dir: wire.FromGuest, Port: port, Data: true, Bytes: wire.Range{From: from, To: to}, Transmissions: nth}}
	if err := b.Cable.SetRules([]wire.Rule{rule, delayed(dropRTT)}); err != nil {
		return err
	}
	c, err := b.DialScriptAt(ctx, Active+Role(b.Round()%2), port, peer.ConnOptions{}, nil)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, to, false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return within(fmt.Sprintf("the last %d lost %d times", segments, times), err)
	}
	return c.Close(ctx)
}

// look wants a timer to have done it. When it ran out, and that a second gap was the
// double of the first, the judge has seen.
func (t tailing) look(b *Bed, e *Evidence) error {
	segments, times := t.lost(b.Round())
	s := e.Stream(b.Conns()[0])
	switch {
	case s == nil || s.Stats.Lost < segments*times:
		return fmt.Errorf("the wire lost not all of the last %d segments %d times", segments, times)
	case s.Stats.Resends[judge.RTO]+s.Stats.Resends[judge.TLP]+s.Stats.Resends[judge.Rescue] == 0:
		return latef("the last %d of %d segments were lost %d times, and no timer sent them again: %s", segments, tailSegments, times, resends(s))
	}
	var first time.Duration
	for i := range s.Sent {
		if p := &s.Sent[i]; p.Lost && first == 0 {
			first = p.At
		} else if p.Again > 0 {
			b.Measure(fmt.Sprintf("tail_%d_lost_%d_s", segments, times), (p.At - first).Seconds())
			break
		}
	}
	return nil
}
