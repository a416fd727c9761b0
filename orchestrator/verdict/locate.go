package verdict

import "math"

const (
	reach      = 3   // points: a place this near to the true one is right
	locateSpan = 60  // points on either side of a split where it may be instead
	stray      = .02 // share of values that are expected to have stray noise,
	strayScale = 8   // so many times the usual one
)

// locator finds where between two levels the step is, given noise that remembers
// the share rho of its last value.
type locator struct {
	values []float64 // in units of the noise
	rho    float64
	sigma  float64 // of what is new in each value
}

// locate places the step that lies near c, between points lo and hi. It returns the
// point around which most of the posterior lies within reach, and the range that
// has 95 % of it. Outliers are allowed for, so the values are not winsorized.
func (l locator) locate(lo, c, hi int) (at, first, last int) {
	from, to := max(lo+1, c-locateSpan), min(hi-1, c+locateSpan)
	at = c
	weight := make([]float64, to-from+1)
	for range 2 {
		l.weigh(weight, from, lo, hi, level(l.values[lo:at], true), level(l.values[at:hi], false))
		at = from + heaviest(weight)
	}
	i, j := credible(weight, at-from, .95)
	return at, from + i, from + j
}

// level is the mean of the values of a side, without what is far off.
func level(v []float64, before bool) float64 {
	if len(v) > 2*locateSpan { // what is near says what the step was
		if before {
			v = v[len(v)-2*locateSpan:]
		} else {
			v = v[:2*locateSpan]
		}
	}
	m := median(append([]float64(nil), v...))
	sum := 0.0
	for _, x := range v {
		sum += min(max(x, m-3), m+3)
	}
	return sum / float64(len(v))
}

// weigh gives the posterior of the first point of the new level, from index from on.
func (l locator) weigh(weight []float64, from, lo, hi int, before, after float64) {
	cost := func(t int, now, then float64) float64 {
		e := l.values[t] - now
		if t > lo {
			e -= l.rho * (l.values[t-1] - then)
		}
		e /= l.sigma
		return -math.Log((1-stray)*math.Exp(-e*e/2) + stray/strayScale*math.Exp(-e*e/2/strayScale/strayScale) + 1e-300)
	}
	sum, best := 0.0, math.Inf(1) // cost of a step here, less that of one at from
	first := cost(from, after, before)
	for i := range weight {
		if i > 0 {
			t := from + i - 1 // is before the step now, and was its first point
			sum += cost(t, before, before) - first
			if t++; t < hi {
				first = cost(t, after, before)
				sum += first - cost(t, after, after)
			}
		}
		weight[i] = sum
		best = min(best, sum)
	}
	total := 0.0
	for i, c := range weight {
		weight[i] = math.Exp(best - c)
		total += weight[i]
	}
	for i := range weight {
		weight[i] /= total
	}
}

// heaviest is the index around which the most weight lies within reach; of equals
// the one that itself weighs the most.
func heaviest(weight []float64) int {
	best, at := -1.0, 0
	for i := range weight {
		sum := 0.0
		for j := max(0, i-reach); j <= min(len(weight)-1, i+reach); j++ {
			sum += weight[j]
		}
		if sum > best+1e-9 || sum > best-1e-9 && weight[i] > weight[at] {
			best, at = max(sum, best), i
		}
	}
	return at
}

// credible widens from an index to the side that weighs more, until share is reached.
func credible(weight []float64, at int, share float64) (first, last int) {
	first, last = at, at
	for sum := weight[at]; sum < share && (first > 0 || last+1 < len(weight)); {
		if last+1 == len(weight) || first > 0 && weight[first-1] >= weight[last+1] {
			first--
			sum += weight[first]
		} else {
			last++
			sum += weight[last]
		}
	}
	return first, last
}
