package verdict

import (
	"cmp"
	"math"
	"slices"
)

// mannWhitney is the two-sided p-value of the hypothesis that two samples are of
// one distribution: exact over all ways to deal the pooled values to the two sides,
// ties included. Samples are of tens of values: with ties the time grows with the
// fourth power of their size.
func mannWhitney(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	ranks, sum := doubledRanks(a, b)
	n, k := len(ranks), len(a)
	middle := k * (n + 1) // of doubled ranks of k values, on average
	limit := middle - abs(sum-middle)
	ways := 0.0
	if tied(ranks) {
		ways = fewerThan(ranks, k, limit)
		for i, r := range ranks { // the other tail is the same of the ranks from above
			ranks[i] = 2*(n+1) - r
		}
		slices.Reverse(ranks)
		ways += fewerThan(ranks, k, limit)
	} else {
		ways = 2 * fewerThanUntied(n, k, (limit-k*(k+1))/2)
	}
	return min(1, ways/math.Exp(logChoose(n, k)))
}

// fewerThanUntied counts the ways to pick k of n ranks so that their sum is at most
// room above the least: coefficients of a Gaussian binomial, of which each is the one
// before times (1 − x^(n−k+i)) / (1 − x^i).
func fewerThanUntied(n, k, room int) float64 {
	ways := make([]float64, room+1) // by the sum above the least
	ways[0] = 1
	for i := 1; i <= k; i++ {
		for s := room; s >= n-k+i; s-- {
			ways[s] -= ways[s-(n-k+i)]
		}
		for s := i; s <= room; s++ {
			ways[s] += ways[s-i]
		}
	}
	sum := 0.0
	for _, w := range ways {
		sum += w
	}
	return sum
}

func tied(ranks []int) bool {
	for i := 1; i < len(ranks); i++ {
		if ranks[i] == ranks[i-1] {
			return true
		}
	}
	return false
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
// is at most limit. Sums are counted from the least that so many picks can have.
func fewerThan(ranks []int, k, limit int) float64 {
	room := limit
	for _, r := range ranks[:k] {
		room -= r
	}
	if room < 0 {
		return 0
	}
	ways := make([][]float64, k+1) // by how many were picked, and their sum above the least
	for i, all := 0, make([]float64, (k+1)*(room+1)); i <= k; i++ {
		ways[i] = all[i*(room+1) : (i+1)*(room+1)]
	}
	ways[0][0] = 1
	top := make([]int, k+1) // highest sum of i picks so far
	for seen, r := range ranks {
		for i := min(seen+1, k); i > 0; i-- {
			more := r - ranks[i-1] // the i-th pick is no smaller than the i-th rank
			if more > room {
				continue
			}
			end := min(top[i-1], room-more) + 1
			from, to := ways[i-1][:end], ways[i][more:more+end]
			for s, w := range from {
				to[s] += w
			}
			top[i] = max(top[i], more+end-1)
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
