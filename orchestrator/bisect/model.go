package bisect

import (
	"fmt"
	"math"
)

// Model says how runs fail. Chances lie on grids; the weights of a grid need not add
// up to 1.
type Model struct {
	P, Q Grid // the chance that a run of a bad commit fails, and of a good one
	// Overdispersion is the share of a run's chance that its cold boot decided, a
	// correlation between the runs of one boot: 0 none, towards 1 all of it. What is
	// known of a boot's runs is a beta-binomial with this intra-class correlation.
	Overdispersion Grid
	// Before is the chance that the first commit was bad already, None that what
	// fails fails everywhere at one rate, before anything ran.
	Before, None float64
	BuildCost    float64 // of a commit that is not built, in runs
	PerBoot      int     // how many runs a plan takes from one cold boot; 0 means 1
	Confidence   float64 // where a search ends; 0 means .99
	// Reproduce is how many failures of the bad end are seen before anything else: 0
	// means 3, less than 0 none. It is not asked for when p is known.
	Reproduce int
	Repeats   []int // how many runs a plan may ask for at once, ascending; nil: DefaultRepeats
}

// Grid is a distribution over a few values.
type Grid struct{ Values, Weights []float64 }

// Known is a value that is no matter of doubt.
func Known(v float64) Grid { return Grid{[]float64{v}, []float64{1}} }

// spaced is n values from lo to hi, evenly on a logarithmic scale and equally likely.
func spaced(lo, hi float64, n int) (g Grid) {
	for i := range n {
		g.Values = append(g.Values, lo*math.Pow(hi/lo, float64(i)/float64(n-1)))
		g.Weights = append(g.Weights, 1/float64(n))
	}
	return g
}

// DefaultRepeats are the numbers of runs that a plan chooses from.
var DefaultRepeats = []int{1, 2, 4, 8, 15, 30, 60, 120, 200}

const reproduceFailures = 3

// DefaultModel is for a bug of which nothing is known, with builds that take as long
// as ten runs.
func DefaultModel() Model {
	return Model{
		P: spaced(.01, 1, 20), Q: spaced(.0005, .06, 5),
		Overdispersion: Grid{[]float64{0, .3, .9}, []float64{.6, .25, .15}},
		Before:         .01, None: .01, BuildCost: 10, PerBoot: 1, Confidence: .99,
	}
}

// History is what earlier runs on other commits told of the case.
type History struct {
	Bad  Count // runs of commits that have the bug
	Good Count // runs of commits that do not
}

// WithHistory gives the model as it stands after those runs. Failures that were seen
// there need not be reproduced.
func (m Model) WithHistory(h History) Model {
	m.P, m.Q = m.P.after(h.Bad), m.Q.after(h.Good)
	if m.Reproduce = m.filled().Reproduce - h.Bad.Failed; m.Reproduce <= 0 {
		m.Reproduce = -1
	}
	return m
}

func (g Grid) after(c Count) Grid {
	logs := make([]float64, len(g.Values))
	for i, v := range g.Values {
		v = clamp(v)
		logs[i] = math.Log(g.Weights[i]) + float64(c.Failed)*math.Log(v) + float64(c.Passed)*math.Log1p(-v)
	}
	w, _ := normalize(logs)
	return Grid{g.Values, w}
}

// Chances are held off 0 and 1: whatever is observed stays possible.
const chanceFloor = 1e-9

func clamp(v float64) float64 { return min(max(v, chanceFloor), 1-1e-6) }

func (m Model) filled() Model {
	if m.PerBoot == 0 {
		m.PerBoot = 1
	}
	if m.Confidence == 0 {
		m.Confidence = .99
	}
	if m.Repeats == nil {
		m.Repeats = DefaultRepeats
	}
	if m.Reproduce == 0 {
		m.Reproduce = reproduceFailures
	}
	if len(m.Overdispersion.Values) == 0 {
		m.Overdispersion = Known(0)
	}
	return m
}

// check says what makes a model unusable.
func (m Model) check() error {
	for _, g := range []struct {
		name string
		grid Grid
	}{{"p", m.P}, {"q", m.Q}, {"overdispersion", m.Overdispersion}} {
		total := 0.0
		if len(g.grid.Values) == 0 || len(g.grid.Values) != len(g.grid.Weights) {
			return fmt.Errorf("grid of %s has %d values and %d weights: want as many of both", g.name, len(g.grid.Values), len(g.grid.Weights))
		}
		for i, v := range g.grid.Values {
			w := g.grid.Weights[i]
			if !(v >= 0 && v <= 1) || !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("grid of %s has value %v with weight %v: want a chance and a weight", g.name, v, w)
			}
			total += w
		}
		if total == 0 {
			return fmt.Errorf("grid of %s has no weight", g.name)
		}
	}
	if !(m.Before >= 0) || !(m.None >= 0) || m.Before+m.None >= 1 {
		return fmt.Errorf("chances of \"bad before\" %v and \"no culprit\" %v: want them below 1 together", m.Before, m.None)
	}
	if !(m.BuildCost >= 0) || math.IsInf(m.BuildCost, 0) {
		return fmt.Errorf("build cost %v: want runs, at least 0", m.BuildCost)
	}
	if !(m.Confidence > .5 && m.Confidence < 1) {
		return fmt.Errorf("confidence %v: want more than .5 and less than 1", m.Confidence)
	}
	for i, n := range m.Repeats {
		if n < 1 || n > 10_000 || i > 0 && n <= m.Repeats[i-1] {
			return fmt.Errorf("repeats %v: want ascending numbers from 1 to 10000", m.Repeats)
		}
	}
	if m.PerBoot < 1 || len(m.Repeats) == 0 {
		return fmt.Errorf("%d runs of a boot and %d numbers of repeats: want at least one", m.PerBoot, len(m.Repeats))
	}
	return nil
}

// cells are the joint grid: every p with every q below it and every overdispersion.
type cells struct {
	p, q, rho []float64
	at        []cell
	logPrior  []float64
}

type cell struct{ p, q, rho int }

func (m Model) cells(severalPerBoot bool) cells {
	c := cells{rho: []float64{0}}
	weights := []float64{1}
	if severalPerBoot {
		c.rho, weights = m.Overdispersion.Values, m.Overdispersion.Weights
	}
	for _, v := range m.P.Values {
		c.p = append(c.p, clamp(v))
	}
	for _, v := range m.Q.Values {
		c.q = append(c.q, clamp(v))
	}
	for i, p := range c.p {
		for j, q := range c.q {
			for k := range c.rho {
				w := m.P.Weights[i] * m.Q.Weights[j] * weights[k]
				if p > q && w > 0 {
					c.at = append(c.at, cell{i, j, k})
					c.logPrior = append(c.logPrior, math.Log(w))
				}
			}
		}
	}
	_, total := normalize(c.logPrior)
	for i := range c.logPrior {
		c.logPrior[i] -= total
	}
	return c
}

// logLikelihoods are the logs of the chance of what is known of one commit, when a
// run of it fails with each of some chances, under each overdispersion.
func (a asked) logLikelihoods(chances, rhos []float64) []float64 {
	out := make([]float64, 0, len(chances)*len(rhos))
	for _, v := range chances {
		single := float64(a.single.Failed)*math.Log(v) + float64(a.single.Passed)*math.Log1p(-v)
		for _, rho := range rhos {
			l := single
			for _, b := range a.several {
				l += betaBinomial(b, v, rho)
			}
			out = append(out, l)
		}
	}
	return out
}

// betaBinomial is the log of the chance of a sequence of runs of one boot, whose own
// chance is drawn from a beta distribution of mean v and intra-class correlation
// rho: alpha = v·s and beta = (1-v)·s with s = (1-rho)/rho; see Gelman et al.,
// Bayesian Data Analysis, section 5.3. Its rising factorials are short products.
func betaBinomial(c Count, v, rho float64) (l float64) {
	if rho <= 0 {
		return float64(c.Failed)*math.Log(v) + float64(c.Passed)*math.Log1p(-v)
	}
	s := (1 - min(rho, 1-1e-9)) / rho
	rising := func(a float64, n int) float64 {
		x, _ := math.Lgamma(a + float64(n))
		y, _ := math.Lgamma(a)
		return x - y
	}
	return rising(v*s, c.Failed) + rising((1-v)*s, c.Passed) - rising(s, c.Failed+c.Passed)
}

// normalize turns logs into weights that add up to 1, and gives the log of their sum.
func normalize(logs []float64) ([]float64, float64) {
	top := math.Inf(-1)
	for _, l := range logs {
		top = max(top, l)
	}
	out, total := make([]float64, len(logs)), 0.0
	for i, l := range logs {
		out[i] = math.Exp(l - top)
		total += out[i]
	}
	for i := range out {
		out[i] /= total
	}
	return out, top + math.Log(total)
}
