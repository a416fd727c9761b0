package tcp

import (
	"errors"
	"testing"

	"github.com/headwatch/headwatch/suites"
)

// laps are samples of a mixture in which a zone grows by so much in each lap, and
// another one varies.
func laps(n int, growth int64) (samples []Sample) {
	for i := range int64(n) {
		samples = append(samples, Sample{int(i+1) * mixRounds, map[string]int64{"zone leaky": 100 + growth*i, "zone steady": 50 + i%3}})
	}
	return samples
}

func TestLeaksOfAMixture(t *testing.T) {
	for _, c := range []struct {
		laps   int
		growth int64
		leak   bool
	}{
		{mixLaps, mixRounds, true}, // one of a round of one kind, in the shortest mixture
		{60, 1, true},              // one of eight rounds of one kind
		{mixLaps, 0, false}, {60, 0, false},
	} {
		leaks := mixLeaks(laps(c.laps, c.growth))
		if c.leak != (len(leaks) == 1 && leaks[0].Name == "zone leaky") || !c.leak && len(leaks) > 0 {
			t.Errorf("%+v: %v", c, leaks)
		}
	}
}

func TestBlame(t *testing.T) {
	leaks := []Leak{{"zone leaky", 40, 1}}
	const mixed = "leak in the mixture: zone leaky: 40 items more in use, 1 of a round of each kind"
	for _, c := range []struct {
		leaks  []Leak
		alone  error
		status suites.Status
		reason string
	}{
		{nil, errors.New("not asked"), suites.Passed, ""},
		{leaks, nil, suites.Failed, mixed},
		{leaks, suites.Failf("half open, timed out: leak"), suites.Failed, mixed + "; alone: half open, timed out: leak"},
	} {
		if s, reason := suites.Classify(blame(c.leaks, func() error { return c.alone })); s != c.status || reason != c.reason {
			t.Errorf("%v: %s", s, reason)
		}
	}
}

func TestSlope(t *testing.T) {
	if s := slopeOf([]float64{10, 8, 6, 100, 2, 0}); s != -2 {
		t.Errorf("%v", s)
	}
}
