package verdict

import (
	"math"
	"slices"
)

// sight is a series as the search for splits sees it: in units of its noise, from
// its first value on.
type sight struct {
	raw   []float64
	soft  []float64 // winsorized
	sigma float64   // the noise, in the series' unit; 0: all values are equal
	exact bool      // there is no noise: each difference is one
}

// look measures the noise of a series. It is the larger of two estimates: from the
// differences of neighbours, which no step disturbs but which is too small when
// noise remembers, and from what a wide running median leaves.
func look(values []float64) sight {
	soft := values
	near := differenceSigma(values)
	if near > 0 {
		soft = winsorize(values, runningMedian(values, narrowWindow), clip*near)
	}
	// A median wider than a quarter of the series would call its steps noise.
	width := min(wideWindow, max(5, len(values)/4)|1)
	s := sight{sigma: max(near, deviation(soft, runningMedian(soft, width)))}
	base := values[0]
	if s.sigma == 0 {
		// A constant that changed, or a few values: a hundred-thousandth of the range
		// stands in for the noise, so that splits are worth any penalty.
		s.exact, s.sigma = true, 1e-5*(slices.Max(values)-slices.Min(values))
	}
	if s.sigma == 0 || math.IsInf(s.sigma, 0) {
		return sight{}
	}
	s.raw, s.soft = make([]float64, len(values)), make([]float64, len(values))
	for i := range values {
		s.raw[i], s.soft[i] = (values[i]-base)/s.sigma, (soft[i]-base)/s.sigma
	}
	return s
}

// splits divides the series into levels. Noise that remembers wanders, and each
// wandering looks like a level: the memory that is left within the levels raises the penalty by
// what it adds to the variance of a mean, until the levels explain the series.
func (s sight) splits(family int) []int {
	penalty := splitPenalty*math.Log(float64(len(s.soft))) + familyPenalty*math.Log(float64(family))
	splits := partition(s.soft, penalty, leastStretch)
	for inflation := 1.0; len(splits) > 0; {
		r := memory(s.soft, splits)
		more := min((1+r)/(1-r), mostInflation)
		if more <= inflation {
			break
		}
		inflation = more
		splits = partition(s.soft, penalty*inflation, leastStretch)
	}
	return splits
}

// memory is the correlation of neighbouring values around the levels; what is
// negative is 0.
func memory(v []float64, splits []int) float64 {
	var product, square float64
	for i := range len(splits) + 1 {
		lo, hi := bounds(splits, i, len(v))
		m, last := mean(v[lo:hi]), 0.0
		for _, x := range v[lo:hi] {
			square += (x - m) * (x - m)
			product += (x - m) * last
			last = x - m
		}
	}
	if square == 0 {
		return 0
	}
	return min(max(0, product/square), .99)
}

// bounds gives the ends of stretch i.
func bounds(splits []int, i, n int) (lo, hi int) {
	hi = n
	if i > 0 {
		lo = splits[i-1]
	}
	if i < len(splits) {
		hi = splits[i]
	}
	return lo, hi
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// stepsOnly drops the splits where a straight line explains the two stretches
// better than two levels: a metric that drifts has no commit at which it changed.
// The worst goes first, and its neighbours are asked again over the longer stretch.
func (s sight) stepsOnly(splits []int) []int {
	splits = slices.Clone(splits)
	for {
		worst, at := 1.0, -1
		for i, c := range splits {
			lo, hi := around(splits, i, len(s.soft))
			if q := (levelResidual(s.soft[lo:c]) + levelResidual(s.soft[c:hi])) / lineResidual(s.soft[lo:hi]); q > worst {
				worst, at = q, i
			}
		}
		if at < 0 {
			return splits
		}
		splits = slices.Delete(splits, at, at+1)
	}
}

// levelResidual is the sum of squares around the mean.
func levelResidual(v []float64) float64 {
	m, sum := mean(v), 0.0
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	return sum
}

// lineResidual is the sum of squares around the line of least squares; never 0.
func lineResidual(v []float64) float64 {
	m, mid := mean(v), float64(len(v)-1)/2
	var xy, xx, yy float64
	for i, y := range v {
		d := float64(i) - mid
		xy, xx, yy = xy+d*(y-m), xx+d*d, yy+(y-m)*(y-m)
	}
	return max(yy-xy*xy/xx, 1e-12)
}

// placed is a change with the stretch that it divides.
type placed struct {
	Change
	lo, hi int
	shift  float64 // in units of the noise
}

// place says where each split is, now that it is known that there is one.
func (s sight) place(splits []int) []placed {
	splits = slices.Clone(splits)
	l := locator{values: s.raw, rho: min(memory(s.soft, splits), .9)}
	l.sigma = max(s.innovation(splits, l.rho), 1e-6)
	out := make([]placed, len(splits))
	for i, c := range splits {
		lo, hi := around(splits, i, len(s.raw))
		p := placed{Change: Change{Index: c, First: c, Last: c}}
		if !s.exact {
			p.Index, p.First, p.Last = l.locate(lo, c, hi)
		}
		splits[i] = p.Index
		out[i] = p
	}
	for i := range out {
		lo, hi := around(splits, i, len(s.raw))
		out[i].lo, out[i].hi = lo, hi
		out[i].shift = mean(s.soft[splits[i]:hi]) - mean(s.soft[lo:splits[i]])
	}
	return out
}

// innovation is the standard deviation of what each value adds to the share rho of
// the one before.
func (s sight) innovation(splits []int, rho float64) float64 {
	sum, n := 0.0, 0
	for i := range len(splits) + 1 {
		lo, hi := bounds(splits, i, len(s.soft))
		m := mean(s.soft[lo:hi])
		for t := lo + 1; t < hi; t++ {
			e := s.soft[t] - m - rho*(s.soft[t-1]-m)
			sum += e * e
			n++
		}
	}
	return math.Sqrt(sum / float64(max(1, n)))
}
