package verdict

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// steps makes a series of levels, each of n points, with noise of standard deviation sd.
func steps(seed uint64, n int, sd float64, levels ...float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 7))
	var out []float64
	for _, l := range levels {
		for range n {
			out = append(out, l+sd*r.NormFloat64())
		}
	}
	return out
}

func only(t *testing.T, m Metric) []Change {
	t.Helper()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	return Changes([]Metric{m})[0]
}

func TestChangesOfLevels(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    Metric
		want []int
	}{
		{"none", Metric{Quantity: Plain, Values: steps(1, 100, 1, 0)}, nil},
		{"up and down", Metric{Quantity: Plain, Values: steps(1, 30, .2, 10, 11, 10)}, []int{30, 60}},
		{"a constant that changed", Metric{Quantity: Plain, Values: steps(1, 20, 0, 512, 511)}, []int{20}},
		{"one constant", Metric{Quantity: Plain, Values: steps(1, 20, 0, 512)}, nil},
		{"the last three", Metric{Quantity: Plain, Values: append(steps(1, 40, .1, 5), 9, 9.1, 8.9)}, []int{40}},
		{"the last two are too few", Metric{Quantity: Plain, Values: append(steps(1, 40, .1, 5), 9, 9.1)}, nil},
		{"outliers are no level", Metric{Quantity: Plain, Values: append(append(steps(1, 20, .1, 5), 30, 31), steps(2, 20, .1, 5)...)}, nil},
		{"a drift is no step", Metric{Quantity: Plain, Values: drift(200)}, nil},
		{"throughput, 2 %", Metric{Quantity: Throughput, Values: steps(1, 30, .1, 100, 98)}, nil},
		{"throughput, 4 %", Metric{Quantity: Throughput, Values: steps(1, 30, .1, 100, 96)}, []int{30}},
		{"boot, 4 %", Metric{Quantity: Duration, Values: steps(1, 30, .1, 100, 104)}, nil},
		{"boot, 4 %, asked for", Metric{Quantity: Duration, Least: .01, Values: steps(1, 30, .1, 100, 104)}, []int{30}},
		{"a leak begins", Metric{Quantity: Leak, Values: steps(1, 30, .05, 0, 1)}, []int{30}},
		{"zeros", Metric{Quantity: Tally, Values: append(steps(1, 20, 0, 0), 0, 1, 0, 0, 0)}, nil},
	} {
		got := only(t, tt.m)
		ok := len(got) == len(tt.want)
		for i := range got {
			ok = ok && abs(got[i].Index-tt.want[i]) <= 1
		}
		if !ok {
			t.Errorf("%s: %+v, want changes at %v", tt.name, got, tt.want)
		}
	}
}

func drift(n int) []float64 {
	v := steps(3, n, 1, 0)
	for i := range v {
		v[i] += .2 * float64(i)
	}
	return v
}

func TestChangeTells(t *testing.T) {
	c := only(t, Metric{Quantity: Throughput, Values: steps(1, 40, 1, 100, 110)})
	if len(c) != 1 {
		t.Fatalf("%+v, want one change", c)
	}
	if x := c[0]; x.Direction != Better || x.First > 40 || x.Last < 40 || math.Abs(x.Before-100) > 1 || math.Abs(x.After-110) > 1 || x.P > 1e-9 || x.Sigmas < 7 {
		t.Errorf("%+v, want better, 100 to 110 at 40, ten sigmas", x)
	}
	for _, tt := range []struct {
		q    Quantity
		want Direction
	}{{Duration, Worse}, {Tally, Worse}, {Leak, Worse}, {Plain, Changed}, {Throughput, Better}} {
		if got := tt.q.direction(1, 2); got != tt.want {
			t.Errorf("%s from 1 to 2 is %s, want %s", tt.q, got, tt.want)
		}
	}
}

// A count of 400 has a standard deviation of 20: through the root a jump from 4 to
// 16 is as far as one from 400 to about 450.
func TestCountsThroughTheRoot(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	poisson := func(mean float64) float64 {
		n, p := 0.0, r.Float64()
		for limit := math.Exp(-mean); p > limit; n++ {
			p *= r.Float64()
		}
		return n
	}
	v := make([]float64, 120)
	for i := range v {
		v[i] = poisson(4)
		if i >= 60 {
			v[i] = poisson(12)
		}
	}
	if c := only(t, Metric{Quantity: Tally, Values: v}); len(c) != 1 || abs(c[0].Index-60) > 3 {
		t.Errorf("%+v, want one change near 60", c)
	}
}

func TestMetricCheck(t *testing.T) {
	ten := steps(1, 10, 1, 0)
	for _, tt := range []struct {
		m    Metric
		want string
	}{
		{Metric{Values: ten}, "unknown quantity"},
		{Metric{Quantity: Plain, Values: ten[:5]}, "5 values: want at least 6"},
		{Metric{Quantity: Plain, Values: append([]float64{math.NaN()}, ten...)}, "value 0 is NaN"},
		{Metric{Quantity: Plain, Values: append([]float64{math.Inf(1)}, ten...)}, "value 0 is +Inf"},
		{Metric{Quantity: Tally, Values: append([]float64{-1}, ten...)}, "not negative"},
		{Metric{Quantity: Plain, Least: -1, Values: ten}, "least effect"},
	} {
		if err := tt.m.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Check: %v, want %q", err, tt.want)
		}
		if got := Changes([]Metric{tt.m})[0]; got != nil {
			t.Errorf("%q has changes %+v", tt.want, got)
		}
	}
}

// What a metric says does not depend on its unit or its zero, and reversed in time
// it has as many levels.
func TestChangesAreOfNoUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		v := steps(seed, 30, 1, 0, 5, -4)
		scale, shift := math.Exp(rapid.Float64Range(-20, 20).Draw(t, "log scale")), rapid.Float64Range(-100, 100).Draw(t, "shift")
		w := make([]float64, len(v))
		for i := range v {
			w[i] = scale * (v[i] + shift)
		}
		a, b := changes(Metric{Quantity: Plain, Values: v}, 1), changes(Metric{Quantity: Plain, Values: w}, 1)
		if len(a) != len(b) {
			t.Fatalf("%d changes, scaled %d", len(a), len(b))
		}
		for i := range a {
			if a[i].Index != b[i].Index || math.Abs(a[i].P-b[i].P) > 1e-12 {
				t.Fatalf("%+v, scaled %+v", a[i], b[i])
			}
		}
	})
}

// Whatever the values, a search ends, and what it tells is in order and in range.
func TestChangesOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 80).Draw(t, "n")
		v := rapid.SliceOfN(rapid.OneOf(rapid.Float64(), rapid.Float64Range(0, 1), rapid.Just(0.)), n, n).Draw(t, "values")
		m := Metric{Quantity: Plain, Values: v}
		last := 0
		for _, c := range Changes([]Metric{m})[0] {
			if c.Index <= last || c.Index >= n || c.First > c.Index || c.Last < c.Index || !(c.P >= 0 && c.P <= splitAlpha) || c.Direction == "" {
				t.Fatalf("%+v after %d", c, last)
			}
			last = c.Index
		}
	})
}

// Five hundred metrics of which none changed raise no alarm together, and one that
// did is still heard among them.
func TestManyMetrics(t *testing.T) {
	metrics := make([]Metric, 500)
	for i := range metrics {
		metrics[i] = Metric{Quantity: Plain, Values: steps(uint64(i), 60, 1, 0)}
	}
	told := func() (n int) {
		for _, c := range Changes(metrics) {
			n += len(c)
		}
		return n
	}
	if n := told(); n > 1 {
		t.Errorf("%d alarms, nothing changed", n)
	}
	metrics[17].Values = steps(17, 30, 1, 0, 3)
	if n := told(); n < 1 {
		t.Error("nothing told of a step of three sigmas")
	}
}
