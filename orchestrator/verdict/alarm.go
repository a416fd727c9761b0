package verdict

import (
	"math"
	"slices"
)

// AlarmState says how far an alarm about a metric is. The zero value is invalid.
type AlarmState string

// States. Nobody is told of what is only suspected.
const (
	Suspicion AlarmState = "suspected" // the series changed; re-runs are wanted
	Confirmed AlarmState = "confirmed" // re-runs of both neighbouring images bear it out
	Dismissed AlarmState = "dismissed" // they do not: the host changed, or it was chance
)

// Thresholds of Confirm.
const (
	rerunsEach = 5   // boots of each of the two images at least,
	mostReruns = 15  // and at most
	rerunAlpha = .01 // of the rank test between them
	sameEffect = .5  // of the change that was suspected, at least
)

// Confirmation is what re-runs say of a suspected change.
type Confirmation struct {
	State AlarmState
	More  int // boots of each image wanted; 0 unless suspected
	Cut   Cut // how to tell the images apart; set when confirmed
}

// Confirm compares re-runs of the last image before a change and of the first one
// after it, interleaved on one host: values of one cold boot each. They bear a change
// out when they differ in the same direction, by the rank test and by at least half of it.
func Confirm(before, after []float64, c Change) Confirmation {
	n := min(len(before), len(after))
	if n < rerunsEach {
		return Confirmation{State: Suspicion, More: rerunsEach - n}
	}
	shift, want := medianOf(after)-medianOf(before), c.After-c.Before
	alike := mannWhitney(before, after) > rerunAlpha
	switch {
	case !alike && math.Signbit(shift) == math.Signbit(want) && math.Abs(shift) >= sameEffect*math.Abs(want):
		return Confirmation{State: Confirmed, Cut: CutBetween(before, after)}
	case !alike || n >= mostReruns:
		return Confirmation{State: Dismissed}
	}
	return Confirmation{State: Suspicion, More: min(rerunsEach, mostReruns-n)}
}

// Cut makes pass or fail of a value, so that a search over commits can ask for it.
type Cut struct {
	At       float64 // fails beyond it
	Above    bool    // beyond is above
	P        float64 // chance that a value of after fails: what a bad commit does
	Q        float64 // and of before: a good one
	Overlaps bool    // no cut parts the two samples
}

// CutBetween finds the value that parts two samples best, the one with the greatest
// difference of P and Q (Youden, 1950), in the widest gap of equals. Rates are those
// of the overlap with half a value added to each side, since a sample never shows
// that something cannot happen.
func CutBetween(before, after []float64) Cut {
	c := Cut{Above: medianOf(after) > medianOf(before)}
	all := slices.Sorted(slices.Values(slices.Concat(before, after)))
	beyond := func(v []float64, at float64) (n int) {
		for _, x := range v {
			if c.Above == (x > at) && x != at {
				n++
			}
		}
		return n
	}
	best, gap := math.Inf(-1), 0.0
	for i := range len(all) - 1 {
		at := all[i]/2 + all[i+1]/2
		if at <= all[i] || at >= all[i+1] {
			continue // equal, or too near for a value between
		}
		p, q := beyond(after, at), beyond(before, at)
		j := float64(p)/float64(len(after)) - float64(q)/float64(len(before))
		if g := all[i+1] - all[i]; j > best+1e-12 || j > best-1e-12 && g > gap {
			best, gap, c.At = j, g, at
			c.P, c.Q = (float64(p)+.5)/(float64(len(after))+1), (float64(q)+.5)/(float64(len(before))+1)
			c.Overlaps = p < len(after) || q > 0
		}
	}
	return c
}
