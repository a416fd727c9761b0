package verdict

import (
	"math"
	"slices"
)

// warmUp is the share of a boot's samples that is not looked at: caches and zones
// fill first.
const warmUp = .2

// mostSlopes bounds the samples that slopes are taken between; more are thinned out.
const mostSlopes = 200

// Sample is how much was in use after so many iterations of a case. Iterations and
// not time: a slow host leaks no less for each.
type Sample struct{ Iteration, Used float64 }

// Growth is what one boot keeps for each iteration after warm-up, in the unit of
// Used: the Theil–Sen slope of what was never given back. That is the least that
// was in use at any later sample, so caches that fill and are drained, over and
// over, have no slope. ok is false when fewer than eight samples are left, or they
// are not of ascending iterations.
func Growth(boot []Sample) (slope float64, ok bool) {
	kept := slices.Clone(boot[int(warmUp*float64(len(boot))):])
	if len(kept) < 8 {
		return 0, false
	}
	for i := len(kept) - 1; i >= 0; i-- {
		if s := kept[i]; math.IsNaN(s.Used) || math.IsInf(s.Used, 0) || i > 0 && !(kept[i-1].Iteration < s.Iteration) {
			return 0, false
		}
		if i+1 < len(kept) {
			kept[i].Used = min(kept[i].Used, kept[i+1].Used)
		}
	}
	return theilSen(thin(kept)), true
}

// thin keeps at most mostSlopes samples, evenly.
func thin(s []Sample) []Sample {
	if len(s) <= mostSlopes {
		return s
	}
	out := make([]Sample, mostSlopes)
	for i := range out {
		out[i] = s[i*(len(s)-1)/(mostSlopes-1)]
	}
	return out
}

// theilSen is the median of the slopes between all pairs of samples (Sen, 1968).
func theilSen(s []Sample) float64 {
	slopes := make([]float64, 0, len(s)*(len(s)-1)/2)
	for i, a := range s {
		for _, b := range s[i+1:] {
			slopes = append(slopes, (b.Used-a.Used)/(b.Iteration-a.Iteration))
		}
	}
	return median(slopes)
}

// Pair is what a boot of an image and one of the baseline image keep for each
// iteration. They ran one after the other on one host.
type Pair struct{ Image, Baseline float64 }

// LeakFinding is what pairs of boots say. The zero value says nothing.
type LeakFinding struct {
	Verdict Verdict // Bad: the image keeps more than the baseline; empty: more pairs are wanted
	Excess  float64 // median of what it keeps more, for each iteration
	P       float64 // one-sided, of the signed ranks
	More    int     // pairs wanted
}

// Thresholds of Leaks: the least p-value of n pairs is 2^-n, so that it takes seven
// to accuse, and fifteen pairs tell.
const (
	leakAlpha = .01
	mostPairs = 15
)

// Leaks compares an image with the baseline over pairs of boots, by Wilcoxon's signed
// ranks. An image whose median excess is not above 0 after the fewest pairs that could accuse is
// good; what stays in between at the end is good too, since nothing could be shown.
func Leaks(pairs []Pair) LeakFinding {
	d := make([]float64, len(pairs))
	for i, p := range pairs {
		d[i] = p.Image - p.Baseline
	}
	f := LeakFinding{Excess: medianOf(d), P: signedRanks(d)}
	fewest := int(math.Ceil(-math.Log2(leakAlpha)))
	switch n := len(pairs); {
	case n < fewest:
		f.More = fewest - n
	case f.P <= leakAlpha && f.Excess > 0:
		f.Verdict = Bad
	case f.Excess <= 0 || n >= mostPairs || f.P > .2:
		f.Verdict = Good
	default:
		f.More = min(3, mostPairs-n)
	}
	return f
}

// signedRanks is the exact chance that differences symmetric around 0 are as far
// above it, or farther (Wilcoxon, 1945). Zeros are left out, ties share their rank.
func signedRanks(d []float64) float64 {
	d = slices.DeleteFunc(slices.Clone(d), func(x float64) bool { return x == 0 })
	slices.SortFunc(d, func(a, b float64) int {
		switch x, y := math.Abs(a), math.Abs(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	ways, sum, all := []float64{1}, 0, 1.0 // of the signs, by the doubled ranks of those above 0
	for i := 0; i < len(d); {
		j := i
		for j < len(d) && math.Abs(d[j]) == math.Abs(d[i]) {
			j++
		}
		rank := i + j + 1
		for _, x := range d[i:j] {
			if x > 0 {
				sum += rank
			}
			next := make([]float64, len(ways)+rank)
			for s, w := range ways {
				next[s] += w
				next[s+rank] += w
			}
			ways, all = next, 2*all
		}
		i = j
	}
	tail := 0.0
	for _, w := range ways[sum:] {
		tail += w
	}
	return tail / all
}
