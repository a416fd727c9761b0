package verdict

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// Tables of U: Mann and Whitney, 1947; with ties, counted by hand.
func TestMannWhitney(t *testing.T) {
	for _, tt := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 2. / 20},
		{[]float64{4, 5, 6}, []float64{1, 2, 3}, 2. / 20},
		{[]float64{1, 2, 4}, []float64{3, 5, 6}, 4. / 20},
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2. / 70},
		{[]float64{1, 1, 1}, []float64{1, 1, 1}, 1},
		{[]float64{0, 0, 0}, []float64{1, 1, 1}, 2. / 20},
		{[]float64{0, 0, 1}, []float64{1, 1, 1}, 8. / 20},
		{nil, []float64{1}, 1},
		{[]float64{1}, []float64{2}, 1},
	} {
		if got := mannWhitney(tt.a, tt.b); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("mannWhitney(%v, %v) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// The test is exact: it agrees with dealing the values in every way there is.
func TestMannWhitneyIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Map(rapid.IntRange(0, 6), func(i int) float64 { return float64(i) })
		a := rapid.SliceOfN(value, 1, 6).Draw(t, "a")
		b := rapid.SliceOfN(value, 1, 6).Draw(t, "b")
		ranks, sum := doubledRanks(a, b)
		n, k := len(ranks), len(a)
		far, tail, all := abs(sum-k*(n+1)), 0, 0
		for set := range uint(1) << n {
			if bits.OnesCount(set) != k {
				continue
			}
			s := 0
			for i, r := range ranks {
				if set>>i&1 == 1 {
					s += r
				}
			}
			all++
			if abs(s-k*(n+1)) >= far {
				tail++
			}
		}
		if got, want := mannWhitney(a, b), float64(tail)/float64(all); math.Abs(got-want) > 1e-9 {
			t.Fatalf("p of %v and %v is %v, want %v", a, b, got, want)
		}
	})
}

// Both ways to count give the same, at the sizes that are used.
func TestCountsOfRanksAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 2*sidePoints).Draw(t, "n")
		k := rapid.IntRange(1, (n+1)/2).Draw(t, "k")
		room := rapid.IntRange(0, k*(n-k)/2).Draw(t, "room")
		ranks := make([]int, n)
		for i := range ranks {
			ranks[i] = i + 1
		}
		got, want := fewerThanUntied(n, k, room), fewerThan(ranks, k, room+k*(k+1)/2)
		if math.Abs(got-want) > 1e-9*want {
			t.Fatalf("%d of %d within %d: %v ways, want %v", k, n, room, got, want)
		}
	})
}

func TestBenjaminiHochberg(t *testing.T) {
	// The example of the paper's section 3.3: 15 tests, 4 rejected at .05.
	p := []float64{.0001, .0004, .0019, .0095, .0201, .0278, .0298, .0344, .0459, .3240, .4262, .5719, .6528, .7590, 1}
	if got := benjaminiHochberg(p, 15, .05); got != .0095 {
		t.Errorf("limit %v, want .0095", got)
	}
	if got := benjaminiHochberg([]float64{.2, .9}, 2, .05); got != -1 {
		t.Errorf("limit %v, want -1: none", got)
	}
	if got := benjaminiHochberg([]float64{.01}, 500, .05); got != -1 {
		t.Errorf("limit %v, want -1: 499 tests said nothing", got)
	}
}

// Under the hypothesis a p-value below x is at most x likely.
func TestMannWhitneyLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const rounds = 4000
	below := 0
	for range rounds {
		v := make([]float64, 30)
		for i := range v {
			v[i] = math.Floor(4 * r.NormFloat64())
		}
		if mannWhitney(v[:12], v[12:]) <= .05 {
			below++
		}
	}
	if share := float64(below) / rounds; share > .062 || share < .03 {
		t.Errorf("%.3f of the tests are below .05", share)
	}
}
