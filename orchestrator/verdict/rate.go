package verdict

import "math"

// A case that fails now and then on every build has no good and bad builds; what it
// has is a rate, and that can change.

// rateFactor is how many times likelier a change must make a series before it is
// told. While nothing changes, a series reaches a factor of c with a chance of about
// 1/c at most, however often one looks (Ville's inequality).
const rateFactor = 200

// RateChange is a place at which the rate of a case's failures changed. The zero
// value says that there is none.
type RateChange struct {
	Index         int // first build with the new rate
	First, Last   int // the range that holds it with 95 %
	Before, After float64
	Factor        float64 // Bayes factor of a change over none
	Kind          RateKind
}

// RateKind says what a change of a rate means. The zero value is invalid.
type RateKind string

// Kinds. There is no "fixed": a rate that fell says that something helped, and not
// that it never fails again.
const (
	MoreOften  RateKind = "more often"
	MaybeFixed RateKind = "maybe fixed" // the rate halved, or more
	LessOften  RateKind = "less often"
)

// Rate looks for a change in how often a case fails, in counts of boots for each
// build, oldest first. Before and after have rates of which nothing is known
// (Beta(½,½)), and the change may be at any place. Builds that told nothing say
// nothing; ok is false when there is no change that can be told.
func Rate(builds []Counts) (c RateChange, ok bool) {
	n := len(builds)
	if n < 2 {
		return c, false
	}
	passed, failed := make([]int, n+1), make([]int, n+1)
	for i, b := range builds {
		passed[i+1], failed[i+1] = passed[i]+b.Passed, failed[i]+b.Failed
	}
	whole := logBeta(passed[n], failed[n])
	weight := make([]float64, n-1)
	most, at := math.Inf(-1), 0
	for i := range weight {
		s := i + 1
		weight[i] = logBeta(passed[s], failed[s]) + logBeta(passed[n]-passed[s], failed[n]-failed[s]) - whole
		if weight[i] > most {
			most, at = weight[i], i
		}
	}
	sum := 0.0
	for i := range weight {
		weight[i] = math.Exp(weight[i] - most)
		sum += weight[i]
	}
	for i := range weight {
		weight[i] /= sum
	}
	c.Factor = math.Exp(most) * sum / float64(len(weight))
	first, last := credible(weight, at, .95)
	c.Index, c.First, c.Last = at+1, first+1, last+1
	share := func(p, f int) float64 { return float64(f) / float64(max(1, p+f)) }
	c.Before, c.After = share(passed[c.Index], failed[c.Index]), share(passed[n]-passed[c.Index], failed[n]-failed[c.Index])
	switch {
	case c.After > c.Before:
		c.Kind = MoreOften
	case c.After <= c.Before/2:
		c.Kind = MaybeFixed
	default:
		c.Kind = LessOften
	}
	return c, c.Factor >= rateFactor
}

// logBeta is the logarithm of the chance of these results in this order, over all
// rates by Beta(½,½).
func logBeta(passed, failed int) float64 {
	a, _ := math.Lgamma(float64(passed) + .5)
	b, _ := math.Lgamma(float64(failed) + .5)
	c, _ := math.Lgamma(float64(passed+failed) + 1)
	return a + b - c - math.Log(math.Pi)
}
