package verdict

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainPartition finds the same by trying everything.
func plainPartition(v []float64, penalty float64, least int) ([]int, float64) {
	n := len(v)
	best, begin := make([]float64, n+1), make([]int, n+1)
	best[0] = -penalty
	for t := 1; t <= n; t++ {
		best[t] = math.Inf(1)
		for s := 0; s <= t-least; s++ {
			if c := best[s] + penalty + levelResidual(v[s:t]); c < best[t] {
				best[t], begin[t] = c, s
			}
		}
	}
	var out []int
	for t := begin[n]; t > 0; t = begin[t] {
		out = append(out, t)
	}
	slices.Reverse(out)
	return out, best[n]
}

func cost(v []float64, splits []int, penalty float64) float64 {
	sum := penalty * float64(len(splits))
	for i := range len(splits) + 1 {
		lo, hi := bounds(splits, i, len(v))
		sum += levelResidual(v[lo:hi])
	}
	return sum
}

func TestPartitionIsOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n") // slices of any length are short, mostly
		v := rapid.SliceOfN(rapid.Float64Range(-5, 5), n, n).Draw(t, "values")
		if rapid.Bool().Draw(t, "ties") {
			for i := range v {
				v[i] = math.Round(v[i])
			}
		}
		penalty := rapid.Float64Range(.1, 20).Draw(t, "penalty")
		least := rapid.IntRange(1, 5).Draw(t, "least")
		got := partition(v, penalty, least)
		for i := range len(got) + 1 {
			if lo, hi := bounds(got, i, len(v)); len(got) > 0 && hi-lo < least {
				t.Fatalf("%v has a stretch below %d", got, least)
			}
		}
		if len(v) < 2*least {
			return
		}
		want, best := plainPartition(v, penalty, least)
		if c := cost(v, got, penalty); c > best+1e-6 {
			t.Fatalf("%v costs %v, %v costs %v", got, c, want, best)
		}
	})
}

func TestRunningMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "n")
		v := rapid.SliceOfN(rapid.Float64Range(-5, 5), n, n).Draw(t, "values")
		half := rapid.IntRange(0, 10).Draw(t, "half")
		for i, got := range runningMedian(v, 2*half+1) {
			if want := medianOf(v[max(0, i-half):min(len(v), i+half+1)]); got != want {
				t.Fatalf("at %d: %v, want %v", i, got, want)
			}
		}
	})
}

func TestMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "n")
		v := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-5, 5), rapid.Just(1.)), n, n).Draw(t, "values")
		sorted := slices.Sorted(slices.Values(v))
		if got, want := medianOf(v), sorted[(n-1)/2]/2+sorted[n/2]/2; got != want {
			t.Fatalf("median of %v is %v, want %v", v, got, want)
		}
	})
}
