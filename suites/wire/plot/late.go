package plot

import (
	"math"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// lateBeyond is what a frame is late by at least, beside what its like need.
const lateBeyond = time.Millisecond

// late marks what the wire did to the frames of a stream: dropped them, changed them,
// passed them twice, or later than others.
func (c *conn) late(t *wire.Trace) {
	for i := range c.sides {
		s, other := &c.sides[i], &c.sides[1-i]
		limits := map[bool]time.Duration{true: usual(s.trips, true), false: usual(s.trips, false)}
		overtaken := overtakers(s.trips)
		for n, trip := range s.trips {
			p := s.pic
			if !trip.data {
				p = other.pic
			}
			e := &t.Events[trip.event]
			m := mark{at: moment(e), sent: e.At, from: trip.from, to: trip.to, event: trip.event}
			add := func(kind markKind, at time.Duration) {
				m.kind, m.at = kind, at
				p.marks = append(p.marks, m)
			}
			switch {
			case e.Dropped() && e.Held == 0:
				add(markDropped, e.At)
			case e.Dropped():
			case trip.took > limits[trip.data] || trip.at+trip.took > overtaken[n]:
				add(markLate, trip.at+trip.took)
			}
			changed, began := false, trip.at+trip.took
			for k, copy := range e.Passed {
				changed = changed || copy.Frame != nil
				if k > 0 {
					add(markCopy, max(copy.At, began))
				}
			}
			if changed {
				add(markChanged, moment(e))
			}
		}
	}
}

// usual is from when on a frame is late: twice what nine of ten need of those with
// data, or of those without, and a little. What happens to more than that is the path's
// nature.
func usual(trips []trip, data bool) time.Duration {
	var took []time.Duration
	for _, t := range trips {
		if t.took >= 0 && t.data == data {
			took = append(took, t.took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return 2*took[(len(took)-1)*9/10] + lateBeyond
}

// overtakers gives for each frame when the first of those that were sent later arrived.
func overtakers(trips []trip) []time.Duration {
	out := make([]time.Duration, len(trips))
	next := time.Duration(math.MaxInt64)
	for i := len(trips) - 1; i >= 0; i-- {
		out[i] = next
		if t := trips[i]; t.took >= 0 {
			next = min(next, t.at+t.took)
		}
	}
	return out
}
