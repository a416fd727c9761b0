package report

import "math"

// limits are the chances between which the true one lies with 95 %, when k of n failed:
// Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26 (1934).
func limits(k, n int) (lo, hi float64) {
	const tail = .025
	solve := func(falls func(p float64) bool) float64 {
		lo, hi := 0.0, 1.0
		for range 60 {
			if mid := (lo + hi) / 2; falls(mid) {
				lo = mid
			} else {
				hi = mid
			}
		}
		return lo
	}
	hi = 1
	if k > 0 {
		lo = solve(func(p float64) bool { return 1-atMost(k-1, n, p) < tail })
	}
	if k < n {
		hi = solve(func(p float64) bool { return atMost(k, n, p) >= tail })
	}
	return lo, hi
}

// atMost is the chance of k or fewer of n.
func atMost(k, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	if p >= 1 {
		if k >= n {
			return 1
		}
		return 0
	}
	sum := 0.0
	for i := 0; i <= k; i++ {
		sum += math.Exp(choose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// choose is the logarithm of the binomial coefficient.
func choose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
