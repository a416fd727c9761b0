package console

import (
	"fmt"
	"math"
)

// confidence of the interval of a rate.
const confidence = .95

// rate is how often rounds failed.
type rate struct{ failed, rounds int }

// interval holds the probability of a failure with at least the confidence: Clopper and
// Pearson 1934.
func (r rate) interval() (low, high float64) {
	const tail = (1 - confidence) / 2
	if high = 1; r.failed < r.rounds { // so few failures are less likely than tail above it
		high = solve(func(p float64) bool { return atMost(r.failed, r.rounds, p) > tail })
	}
	if r.failed > 0 { // and so many below it
		low = solve(func(p float64) bool { return 1-atMost(r.failed-1, r.rounds, p) < tail })
	}
	return low, high
}

// solve finds where in 0 to 1 something ceases to hold.
func solve(holds func(p float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 50 {
		if middle := (low + high) / 2; holds(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// atMost is the probability of k successes or fewer among n, each with probability p.
func atMost(k, n int, p float64) (sum float64) {
	all, _ := math.Lgamma(float64(n + 1))
	for i := range k + 1 {
		some, _ := math.Lgamma(float64(i + 1))
		rest, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(all - some - rest + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

func (r rate) String() string {
	low, high := r.interval()
	return fmt.Sprintf("%d of %d rounds failed (%.2f to %.2f)", r.failed, r.rounds, low, high)
}

// note puts the rate among the metrics of a case.
func (r rate) note(metrics map[string]float64) {
	low, high := r.interval()
	metrics["rounds"], metrics["failed_rounds"] = float64(r.rounds), float64(r.failed)
	metrics["failure_ratio"] = float64(r.failed) / float64(max(r.rounds, 1))
	metrics["failure_low_ratio"], metrics["failure_high_ratio"] = low, high
}
