package verdict

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// usage makes a boot of n samples: a leak for each iteration, caches that fill in
// the first samples, teeth of a zone that is drained, and noise.
func usage(seed uint64, n int, leak, teeth, noise float64) []Sample {
	r := rand.New(rand.NewPCG(seed, 3))
	out := make([]Sample, n)
	period := n / 6
	for i := range out {
		out[i] = Sample{float64(10 * i), 1e6 + leak*float64(10*i) + 5e4*(1-math.Exp(-float64(i)/5)) +
			teeth*float64(i%period)/float64(period) + noise*r.NormFloat64()}
	}
	return out
}

func TestGrowth(t *testing.T) {
	for _, tt := range []struct {
		name               string
		leak, teeth, noise float64
		want, within       float64
	}{
		{"a clean leak", 64, 0, 0, 64, 4},
		{"none", 0, 0, 0, 0, 3},
		{"noise", 0, 0, 1000, 0, 3},
		{"saw-teeth", 0, 50_000, 0, 0, 3},
		{"saw-teeth and noise", 0, 50_000, 1000, 0, 3},
		{"a leak below saw-teeth", 64, 20_000, 100, 64, 10},
		{"less and less keeps nothing", -64, 0, 100, 0, 3},
	} {
		if got, ok := Growth(usage(1, 120, tt.leak, tt.teeth, tt.noise)); !ok || math.Abs(got-tt.want) > tt.within {
			t.Errorf("%s: %.2f for each iteration, %v; want %.0f ± %.0f", tt.name, got, ok, tt.want, tt.within)
		}
	}
	for _, bad := range [][]Sample{nil, usage(1, 9, 1, 0, 0)[:8], {{0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 7}, {0, 8}, {0, 9}, {0, 10}}} {
		if _, ok := Growth(bad); ok {
			t.Errorf("a slope of %v", bad)
		}
	}
	long := usage(1, 5000, 8, 0, 100)
	if got, ok := Growth(long); !ok || math.Abs(got-8) > 1 {
		t.Errorf("of 5000 samples: %v, %v", got, ok)
	}
}

func TestLeaks(t *testing.T) {
	pairs := func(n int, excess, noise float64) []Pair {
		r := rand.New(rand.NewPCG(4, 4))
		out := make([]Pair, n)
		for i := range out {
			b := 10 + noise*r.NormFloat64()
			out[i] = Pair{10 + excess + noise*r.NormFloat64(), b}
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		pairs []Pair
		want  Verdict
		more  int
	}{
		{"none", nil, "", 7},
		{"six tell nothing", pairs(6, 100, 1), "", 1},
		{"seven accuse", pairs(7, 100, 1), Bad, 0},
		{"baseline leaks as much", pairs(7, 0, 0), Good, 0},
		{"less than the baseline", pairs(7, -5, 1), Good, 0},
	} {
		if f := Leaks(tt.pairs); f.Verdict != tt.want || f.More != tt.more {
			t.Errorf("%s: %+v, want %q and %d more", tt.name, f, tt.want, tt.more)
		}
	}
	accused := 0
	r := rand.New(rand.NewPCG(9, 9))
	const rounds = 2000
	for range rounds {
		var p []Pair
		for f := Leaks(p); f.Verdict == ""; f = Leaks(p) {
			if f.More < 1 {
				t.Fatalf("%+v wants nothing", f)
			}
			for range f.More {
				p = append(p, Pair{r.NormFloat64(), r.NormFloat64()})
			}
		}
		if Leaks(p).Verdict == Bad {
			accused++
		}
	}
	if share := float64(accused) / rounds; share > .025 {
		t.Errorf("%.3f of images that do not leak are accused", share)
	}
}

func TestSignedRanks(t *testing.T) {
	for _, tt := range []struct {
		d    []float64
		want float64
	}{
		{nil, 1}, {[]float64{0, 0}, 1}, {[]float64{1}, .5}, {[]float64{1, 2, 3}, .125}, {[]float64{-1, 2, 3}, .25}, {[]float64{-1, -2, -3}, 1}, {[]float64{1, 1, -1}, .5},
	} {
		if got := signedRanks(tt.d); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%v: %v, want %v", tt.d, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // exact: as dealing the signs in every way
		n := rapid.IntRange(1, 8).Draw(t, "n")
		d := make([]float64, n)
		for i := range d {
			d[i] = float64(rapid.SampledFrom([]int{-4, -3, -2, -1, 1, 2, 3, 4}).Draw(t, "d"))
		}
		p := signedRanks(d)
		above := 0
		for set := range 1 << n {
			e := make([]float64, n)
			for i := range e {
				e[i] = math.Abs(d[i])
				if set>>i&1 == 1 {
					e[i] = -e[i]
				}
			}
			if signedRanks(e) <= p+1e-12 {
				above++
			}
		}
		if got := float64(above) / float64(int(1)<<n); math.Abs(got-p) > 1e-9 {
			t.Fatalf("%v: p %v, but %v of the signs are as far", d, p, got)
		}
	})
}
