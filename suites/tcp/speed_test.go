package tcp

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

func TestTimesOfTheWire(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	s := &judge.Stream{
		Heard: []judge.Heard{{At: ms(5), Start: 0, End: 1}, {At: ms(10), Start: 1, End: 2}, {At: ms(30), Start: 2, End: 3}, {At: ms(33), Start: 2, End: 3}},
		Sent: []judge.Sent{{At: ms(6), Start: 0, End: 1}, {At: ms(12), Start: 1, End: 2, Ack: 2}, {At: ms(35), Start: 2, End: 3, Ack: 3},
			{At: ms(99), Start: 2, End: 3, Ack: 3}},
	}
	if from, turns := turnTimes(s, 2); from != ms(10) || len(turns) != 2 || turns[0] != ms(2) || turns[1] != ms(5) {
		t.Errorf("turns from %v: %v", from, turns)
	}
	if _, turns := turnTimes(s, 3); turns != nil {
		t.Errorf("the third byte was never answered: %v", turns)
	}
	if from, took := sentIn(s, 2); from != ms(12) || took != ms(23) {
		t.Errorf("sent from %v in %v", from, took)
	}
	if from, took := receivedIn(s, 2); from != ms(10) || took != ms(25) {
		t.Errorf("received from %v in %v", from, took)
	}
	if _, took := receivedIn(s, 3); took != 0 {
		t.Errorf("never acknowledged, in %v", took)
	}
}

// A round without a number is left out, and most without leave none.
func TestSpeedsOfHeldUpRounds(t *testing.T) {
	b := &Bed{T: &suites.T{Metrics: map[string]float64{}}}
	s := &speeds{connections: []float64{100, 300, 200}, send: []float64{1, 2}}
	s.measure(b)
	if m := b.T.Metrics; len(m) != 1 || m["connections_per_s"] != 200 {
		t.Errorf("%v", m)
	}
}

func TestAnEchoOfOtherBytes(t *testing.T) {
	g := newStackGuest(t)
	g.calls[guest.OpRounds] = func(_ context.Context, args, result any) error {
		result.(*guest.Rounds).Done = args.(guest.RoundsArgs).Count
		return nil
	}
	g.calls[guest.OpEcho] = func(_ context.Context, args, result any) error {
		c := g.conn(args.(guest.EchoArgs).ID)
		var b [1]byte
		for i := range speedTurns {
			if _, err := c.Read(b[:]); err != nil {
				return err
			}
			if i == 7 {
				b[0]++
			}
			c.Write(b[:])
		}
		result.(*guest.Moved).Bytes = speedTurns
		return nil
	}
	status, reason, _ := runCase(t, g, "p03_v4", 30*time.Second, nil)
	if status != suites.Failed || !strings.Contains(reason, "turns: ") || !strings.Contains(reason, "the first at byte 7") {
		t.Errorf("%v: %s", status, reason)
	}
}
