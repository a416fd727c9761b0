package verdict

import (
	"cmp"
	"math"
	"slices"
)

// mannWhitney is the two-sided p-value of the hypothesis that two samples are of
// one distribution: exact over all ways to deal the pooled values to the two sides,
// ties included. Samples are of tens of values: the time grows with the fourth power.
func mannWhitney(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	ranks, sum := doubledRanks(a, b)
	n, k := len(ranks), len(a)
	total := k * (n + 1) // of doubled ranks of k values, on average
	limit := total - abs(sum-total)
	ways := fewerThan(ranks, k, limit)
	for i, r := range ranks { // the other tail is the same of the ranks from above
		ranks[i] = 2*(n+1) - r
	}
	slices.Reverse(ranks)
	ways += fewerThan(ranks, k, limit)
	return min(1, ways/math.Exp(logChoose(n, k)))
}

// doubledRanks ranks the pooled values, twice the mean rank where they tie, so that
// ranks are whole; sum is that of a's.
func doubledRanks(a, b []float64) (ranks []int, sum int) {
	type value struct {
		x    float64
		mine bool
	}
	pool := make([]value, 0, len(a)+len(b))
	for _, x := range a {
		pool = append(pool, value{x, true})
	}
	for _, x := range b {
		pool = append(pool, value{x, false})
	}
	slices.SortFunc(pool, func(p, q value) int { return cmp.Compare(p.x, q.x) })
	ranks = make([]int, len(pool))
	for i := 0; i < len(pool); {
		j := i
		for j < len(pool) && pool[j].x == pool[i].x {
			j++
		}
		for k := i; k < j; k++ {
			ranks[k] = i + j + 1 // twice the mean of i+1 … j
			if pool[k].mine {
				sum += ranks[k]
			}
		}
		i = j
	}
	return ranks, sum
}

// fewerThan counts the ways to pick k of the ranks, which ascend, so that their sum
// is at most limit.
func fewerThan(ranks []int, k, limit int) float64 {
	if limit < 0 {
		return 0
	}
	ways := make([][]float64, k+1) // by how many were picked, and their sum
	room := make([]float64, (k+1)*(limit+1))
	for i := range ways {
		ways[i] = room[i*(limit+1) : (i+1)*(limit+1)]
	}
	ways[0][0] = 1
	top := make([]int, k+1) // highest sum of i picks so far
	for seen, r := range ranks {
		if r > limit {
			break
		}
		for i := min(seen+1, k); i > 0; i-- {
			from, to := ways[i-1], ways[i]
			for s := min(top[i-1], limit-r); s >= 0; s-- {
				if w := from[s]; w != 0 {
					to[s+r] += w
				}
			}
			top[i] = min(limit, max(top[i], top[i-1]+r))
		}
	}
	sum := 0.0
	for _, w := range ways[k] {
		sum += w
	}
	return sum
}

func abs(n int) int { return max(n, -n) }

// benjaminiHochberg is the largest p-value at which hypotheses may be rejected so
// that at most the share rate of the rejections is expected to be false; tests is
// their number, those without a p-value in the list counting as 1. It is -1 when
// none may be (Benjamini and Hochberg, 1995).
func benjaminiHochberg(p []float64, tests int, rate float64) float64 {
	sorted := slices.Sorted(slices.Values(p))
	limit := -1.0
	for i, x := range sorted {
		if x <= rate*float64(i+1)/float64(max(tests, len(p))) {
			limit = x
		}
	}
	return limit
}

// binomialTail is the chance of at least k successes of n, each with chance p.
func binomialTail(k, n int, p float64) float64 {
	if k <= 0 {
		return 1
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(logChoose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(1, sum)
}

func logChoose(n, k int) float64 {
	return logFactorial(n) - logFactorial(k) - logFactorial(n-k)
}

func logFactorial(n int) float64 { x, _ := math.Lgamma(float64(n) + 1); return x }
