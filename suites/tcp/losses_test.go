package tcp

import (
	"maps"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// The losses are those of their seed, in each run of the case, and about as many as
// their rate says.
func TestDrawnLosses(t *testing.T) {
	for _, rate := range lossyRates {
		segments := int(rate.bytes) / 1460
		all := 0
		for seed := 1; seed <= lossyRuns; seed++ {
			lost := drawLosses(rate.perMill, seed, segments)
			if !maps.Equal(lost, drawLosses(rate.perMill, seed, segments)) {
				t.Fatalf("%s, seed %d: another draw", rate.name, seed)
			}
			for i, times := range lost {
				if i < 0 || i >= segments || times < 1 {
					t.Errorf("%s: segment %d is lost %d times", rate.name, i, times)
				}
				all += times
			}
		}
		if want := segments * lossyRuns * rate.perMill / 1000; all < want/2 || all > want*2 {
			t.Errorf("%s: %d of %d segments are lost, want about %d", rate.name, all, segments*lossyRuns, want)
		}
	}
}

func TestLossRules(t *testing.T) {
	rules := lossRules(5001, map[int]int{0: 1, 7: 2}, 10, 1000)
	if len(rules) != 4 {
		t.Fatalf("%d rules", len(rules))
	}
	second := rules[1]
	if m := second.Match; m.Bytes != (wire.Range{From: 7500, To: 7501}) || len(m.Transmissions) != 2 || m.Port != 5001 || !second.Do.Drop {
		t.Errorf("%+v", second)
	}
	cable, err := wire.New(wire.Config{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cable.Close(); err != nil {
		t.Error(err)
	}
}

// Each rate has its transfers, with the seeds from 1.
func TestLossRounds(t *testing.T) {
	l := &lossy{}
	seen := map[[2]int]bool{}
	for n := range lossyPaths().plan(V4, nil).Rounds {
		rate, seed := l.round(n)
		for i := range lossySide {
			seen[[2]int{rate, seed + i}] = true
		}
	}
	for rate := range lossyRates {
		for seed := 1; seed <= lossyRuns; seed++ {
			if !seen[[2]int{rate, seed}] {
				t.Errorf("rate %d has no seed %d", rate, seed)
			}
		}
	}
	if len(seen) != len(lossyRates)*lossyRuns {
		t.Errorf("%d transfers", len(seen))
	}
}

func TestHeldUp(t *testing.T) {
	b := &Bed{}
	for i := range 21 {
		starved := time.Duration(0)
		if i > 10 {
			starved = 100 * time.Millisecond
		}
		b.hunger.note(time.Duration(i)*100*time.Millisecond, starved)
	}
	for _, c := range []struct {
		from, to time.Duration
		held     bool
	}{{0, time.Second / 2, false}, {time.Second / 2, 3 * time.Second / 2, true}, {3 * time.Second / 2, 2 * time.Second, false}, {0, 2 * time.Second, false}} {
		if got := b.held(c.from, c.to); got != c.held {
			t.Errorf("%v to %v: %v", c.from, c.to, got)
		}
	}
}
