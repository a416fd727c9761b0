package verdict

import (
	"fmt"
	"math"
	"slices"
)

// How change points of metrics are found. The numbers were chosen together, by the
// simulations of `headwatch bench detect`; docs/detect.md tells what each one buys.
const (
	leastStretch  = 3   // points that a level must last to be one
	splitPenalty  = 3.0 // for each split, in variances of the noise times ln n,
	familyPenalty = 2.0 // and times ln of the number of metrics: a split by chance is so much rarer that all of them have as few as one
	clip          = 3.0 // standard deviations from the running median at which values are winsorized
	narrowWindow  = 7   // points of that running median,
	wideWindow    = 31  // and of the one whose residual tells the noise
	mostInflation = 20  // of the penalty, for noise that remembers
	sidePoints    = 32  // on either side of a split that the rank test looks at
	splitAlpha    = .01 // p-value above which a split is not told, however few metrics there are
	falseShare    = .05 // of what is told over all metrics, at most, that may be false
)

// LeastPoints is the length below which a series cannot have a change point.
const LeastPoints = 2 * leastStretch

// Quantity says what a metric measures: from which effect on a change matters and
// which way is worse. The zero value is invalid.
type Quantity string

// Quantities.
const (
	Plain      Quantity = "plain"      // a number: each change matters, neither way is worse
	Throughput Quantity = "throughput" // more is better; matters from 3 %
	Duration   Quantity = "duration"   // as of a boot: less is better; matters from 5 %
	Tally      Quantity = "count"      // events counted: less is better; looked at through a square root
	Leak       Quantity = "leak"       // what is not given back: less is better, each change matters
)

// quantities lists the valid words.
var quantities = []Quantity{Plain, Throughput, Duration, Tally, Leak}

// ParseQuantity reads a word; empty is Plain.
func ParseQuantity(word string) (Quantity, error) {
	if word == "" {
		return Plain, nil
	}
	if slices.Contains(quantities, Quantity(word)) {
		return Quantity(word), nil
	}
	return "", fmt.Errorf("unknown quantity %q: want one of %v", word, quantities)
}

// least is the share of the old level by which a change must differ from it.
func (q Quantity) least() float64 {
	switch q {
	case Throughput:
		return .03
	case Duration:
		return .05
	}
	return 0
}

// Direction says what a change means. The zero value is invalid.
type Direction string

// Directions. An improvement is told too: it is news, and the next change is
// measured from it.
const (
	Worse   Direction = "worse"
	Better  Direction = "better"
	Changed Direction = "changed" // nobody said which way is worse
)

func (q Quantity) direction(before, after float64) Direction {
	switch {
	case q == Plain || before == after:
		return Changed
	case q == Throughput == (after > before):
		return Better
	}
	return Worse
}

// Metric is one number for each image, oldest first.
type Metric struct {
	Name     string
	Quantity Quantity
	Least    float64 // share of the old level from which a change matters; 0: the quantity's own
	Values   []float64
}

// Check says why a metric cannot be looked at; nil when it can.
func (m Metric) Check() error {
	for i, v := range m.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("value %d is %v: want a finite number", i, v)
		}
		if m.Quantity == Tally && v < 0 {
			return fmt.Errorf("value %d is %v: a count is not negative", i, v)
		}
	}
	switch {
	case !slices.Contains(quantities, m.Quantity):
		return fmt.Errorf("unknown quantity %q: want one of %v", m.Quantity, quantities)
	case m.Least < 0 || math.IsNaN(m.Least):
		return fmt.Errorf("least effect %v: want a share of the old level, 0 or more", m.Least)
	case len(m.Values) < LeastPoints:
		return fmt.Errorf("%d values: want at least %d, %d on either side of a change", len(m.Values), LeastPoints, leastStretch)
	}
	return nil
}

// Change is a point at which a metric went to another level.
type Change struct {
	Index       int // first point of the new level, from 0
	First, Last int // the range that holds it with 95 %
	Before      float64
	After       float64 // medians of the two levels
	P           float64 // of the rank test on the points on either side
	Sigmas      float64 // size of the step, in standard deviations of the noise; 0: there is no noise
	Direction   Direction
}

// Changes finds the change points of metrics that are looked at together, in their
// order: of what it tells at most a share of .05 is expected to be false, however
// many metrics there are. A metric that Check refuses has none.
func Changes(metrics []Metric) [][]Change {
	out := make([][]Change, len(metrics))
	var p []float64
	for i, m := range metrics {
		if m.Check() != nil {
			continue
		}
		out[i] = changes(m, len(metrics))
		for _, c := range out[i] {
			p = append(p, c.P)
		}
	}
	limit := benjaminiHochberg(p, len(metrics), falseShare)
	for i := range out {
		out[i] = slices.DeleteFunc(out[i], func(c Change) bool { return c.P > limit })
	}
	return out
}

// changes finds the change points of one metric, of so many.
func changes(m Metric, family int) []Change {
	values := m.Values
	if m.Quantity == Tally { // a count's variance grows with it; its root's does not
		values = make([]float64, len(values))
		for i, v := range m.Values {
			values[i] = 2 * math.Sqrt(v+3./8) // Anscombe
		}
	}
	s := look(values)
	if s.sigma == 0 {
		return nil // all are equal
	}
	t := sideTests{values, map[[3]int]float64{}}
	splits := t.confirm(s.stepsOnly(s.splits(family)))
	found := s.place(splits)
	for i := t.unsure(found); i >= 0; i = t.unsure(found) {
		splits = t.confirm(slices.Delete(splits, i, i+1))
		found = s.place(splits)
	}
	least := m.Least
	if least == 0 {
		least = m.Quantity.least()
	}
	var out []Change
	for _, c := range found {
		c.Before, c.After = medianOf(m.Values[c.lo:c.Index]), medianOf(m.Values[c.Index:c.hi])
		if c.Before == c.After || math.Abs(c.After-c.Before) < least*math.Abs(c.Before) {
			continue
		}
		if c.Sigmas = math.Abs(c.shift); s.exact {
			c.Sigmas = 0
		}
		c.Direction = m.Quantity.direction(c.Before, c.After)
		out = append(out, c.Change)
	}
	return out
}

// unsure finds a split whose exact place leaves less than a level's points on a
// side, as when the search had rounded a few outliers up to a level, or sides that the
// rank test cannot tell apart. It is -1 when there is none; it sets all p-values then.
func (t sideTests) unsure(found []placed) int {
	for i := range found {
		c := &found[i]
		c.P = t.p(c.lo, c.Index, c.hi)
		if c.P > splitAlpha || c.Index-c.lo < leastStretch || c.hi-c.Index < leastStretch {
			return i
		}
	}
	return -1
}

func medianOf(v []float64) float64 { return median(slices.Clone(v)) }

// confirm drops splits whose sides may be of one distribution, the least certain
// first: what it stood between is one level then, and its neighbours are asked again.
func (t sideTests) confirm(splits []int) []int {
	splits = slices.Clone(splits)
	p := make([]float64, len(splits))
	ask := func(i int) {
		lo, hi := around(splits, i, len(t.values))
		p[i] = t.p(lo, splits[i], hi)
	}
	for i := range splits {
		ask(i)
	}
	for len(splits) > 0 {
		worst := 0
		for i := range p {
			if p[i] > p[worst] {
				worst = i
			}
		}
		if p[worst] <= splitAlpha {
			break
		}
		splits, p = slices.Delete(splits, worst, worst+1), slices.Delete(p, worst, worst+1)
		for _, i := range []int{worst - 1, worst} {
			if i >= 0 && i < len(splits) {
				ask(i)
			}
		}
	}
	return splits
}

// around gives the stretch of points that split i divides.
func around(splits []int, i, n int) (lo, hi int) {
	hi = n
	if i > 0 {
		lo = splits[i-1]
	}
	if i+1 < len(splits) {
		hi = splits[i+1]
	}
	return lo, hi
}

// sideTests are rank tests of a series, each of which is done once.
type sideTests struct {
	values []float64
	done   map[[3]int]float64
}

// p is the p-value of the points nearest to a split at, in a stretch from lo to hi.
func (t sideTests) p(lo, at, hi int) float64 {
	key := [3]int{max(lo, at-sidePoints), at, min(hi, at+sidePoints)}
	p, ok := t.done[key]
	if !ok {
		p = mannWhitney(t.values[key[0]:at], t.values[at:key[2]])
		t.done[key] = p
	}
	return p
}
