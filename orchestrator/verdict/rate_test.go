package verdict

import (
	"math/rand/v2"
	"testing"
)

func coin(r *rand.Rand, n, boots int, p float64) []Counts {
	out := make([]Counts, n)
	for i := range out {
		for range boots {
			if r.Float64() < p {
				out[i].Failed++
			} else {
				out[i].Passed++
			}
		}
	}
	return out
}

func TestRate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, tt := range []struct {
		name          string
		before, after float64
		want          RateKind // empty: none
	}{
		{"steady", .1, .1, ""},
		{"never fails", 0, 0, ""},
		{"worse", .05, .5, MoreOften},
		{"always now", .1, 1, MoreOften},
		{"maybe fixed", .6, .1, MaybeFixed},
		{"never now", .6, 0, MaybeFixed},
		{"less", .95, .6, LessOften},
	} {
		c, ok := Rate(append(coin(r, 40, 3, tt.before), coin(r, 25, 3, tt.after)...))
		switch {
		case ok != (tt.want != ""):
			t.Errorf("%s: %+v, %v", tt.name, c, ok)
		case ok && (c.Kind != tt.want || c.First > 40 || c.Last < 40):
			t.Errorf("%s: %+v, want %s in a range with 40", tt.name, c, tt.want)
		}
	}
	for _, short := range [][]Counts{nil, {{Failed: 9}}, make([]Counts, 9)} {
		if c, ok := Rate(short); ok {
			t.Errorf("%v says %+v", short, c)
		}
	}
}

// A flaky case that is looked at after each of a hundred builds raises no alarm
// while it stays as it is.
func TestRateIsNotTiredOut(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const cases = 300
	alarms := 0
	for range cases {
		s := coin(r, 100, 1, .02+.4*r.Float64())
		for n := 2; n <= len(s); n++ {
			if _, ok := Rate(s[:n]); ok {
				alarms++
				break
			}
		}
	}
	if alarms > 6 { // 2 %
		t.Errorf("%d of %d steady series raised an alarm within 100 builds", alarms, cases)
	}
}
