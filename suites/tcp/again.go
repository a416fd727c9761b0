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

// againRound is what is lost of dropSegments in a round of R07, by number: once, and what
// is lost when it is sent again, too.
type againRound struct{ once, twice []int }

var againRounds = []againRound{
	{[]int{5, 6, 7, 8, 9}, []int{1}},
	{[]int{3, 5, 7, 9, 11}, []int{1}},
	{nil, []int{1, 2, 3, 4, 5, 6}},
	{nil, []int{1, 4, 5, 10, 11, 15}},
}

// again is R07: the timer runs out in the middle of SACK recovery, since what was sent
// again is lost, too. The peer acknowledges each segment. Then a new recovery begins while
// slow start goes back: nothing may be sent by both.
func again() row {
	return row{
		name: "r07", layer: suites.Functional, timed: true, timeout: time.Minute,
		summary: "six of 20 segments lost, the first or all of them a second time in SACK recovery; after the timeout each is sent once more",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Rounds: len(againRounds), Run: againRun, Look: againLook, Settings: withoutRACK, Uncounted: causes}
		},
	}
}

// rules lose the segments of a connection.
func (r againRound) rules(port uint16, size int64) (rules []wire.Rule) {
	lose := func(segments []int, transmissions ...int) {
		for _, n := range segments {
			rules = append(rules, wire.Rule{Name: fmt.Sprintf("segment %d", n), Do: wire.Action{Drop: true}, Match: wire.Match{
				Dir: wire.FromGuest, Port: port, Data: true, Bytes: wire.Range{From: int64(n-1) * size, To: int64(n) * size}, Transmissions: transmissions}})
		}
	}
	lose(r.once, 1)
	lose(r.twice, 1, 2)
	return append(rules, delayed(dropRTT))
}

func againRun(ctx context.Context, b *Bed) error {
	port := b.nextPort()
	if err := b.Cable.SetRules(againRounds[b.Round()].rules(port, int64(b.MSS()))); err != nil {
		return err
	}
	return sendAllAt(ctx, b, Active+Role(b.Round()%2), port, peer.ConnOptions{})
}

// againLook wants the timer to have run out in a recovery. That nothing was sent again
// without need, the judge has seen.
func againLook(b *Bed, e *Evidence) error {
	s := e.Stream(b.Conns()[0])
	switch {
	case s == nil:
		return fmt.Errorf("the connection was not on the wire")
	case s.Stats.Resends[judge.RTO] == 0:
		return latef("the timer did not run out: %s", resends(s))
	case s.Stats.Resends[judge.FastRetransmit]+s.Stats.Resends[judge.SACKHole] == 0:
		return latef("nothing was sent again before the timer ran out: %s", resends(s))
	}
	b.Measure("segments_sent_again", float64(s.Stats.Resent()))
	return nil
}
