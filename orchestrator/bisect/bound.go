package bisect

import "math"

// Capacity is how many bits about a commit one run of it can tell at most, when a
// bad commit fails with chance p and a good one with chance q < p: the capacity of
// the binary asymmetric channel (Silverman, On binary channels and their cascades,
// 1955). With q = 0 it is the Z-channel's log2(1 + p(1-p)^((1-p)/p)).
func Capacity(p, q float64) float64 {
	if p <= q {
		return 0
	}
	hp, hq := entropy(p), entropy(q)
	return (q*hp-p*hq)/(p-q) + math.Log2(1+math.Exp2((hq-hp)/(p-q)))
}

// BitsFor is what a search among so many equally likely commits has to learn before
// it may be wrong in a share of the cases, by Fano's inequality.
func BitsFor(commits int, wrong float64) float64 {
	if commits < 2 {
		return 0
	}
	n := float64(commits)
	return max(0, math.Log2(n)-entropy(wrong)-wrong*math.Log2(n-1))
}

// Bound is what no search can do without, in runs: a run tells no more than the
// channel's capacity, and a commit that has to be built no more than one bit.
func Bound(commits int, wrong, p, q, buildCost float64) float64 {
	return BitsFor(commits, wrong) * (1/Capacity(p, q) + buildCost)
}
