package bisect

import (
	"fmt"
	"math"
)

// Forecast is what a search is going to cost from here, in runs.
type Forecast struct {
	Least  float64 // no search can do with less, even if p is at its upper limit
	Search float64 // expected, until the confidence is reached
	High   float64 // as much is exceeded by one search in ten
	Verify float64 // expected, for the confirmation afterwards
}

// What searches cost over the bound, with p known and with p learned, and how far
// one in ten goes beyond that. Measured: docs/bisect.md.
const (
	overKnown   = 1.2
	overLearned = 1.45
	overHigh    = 1.35
)

// Forecast tells what is to come.
func (s *Search) Forecast() Forecast {
	bits, build := s.bits(), s.usualBuild()
	weights, q := s.marginals()
	p, usual := chance(s.cells.p, weights), chance(s.cells.q, q).Mean
	// A bad commit that fails hardly more often than a good one is not searched for
	// long: "no culprit" is as good then.
	each := func(p float64) float64 { return 1/Capacity(p, min(usual, p/4)) + build }
	f := Forecast{Least: bits * each(p.High)}
	total := 0.0
	for j, w := range weights {
		v := s.cells.p[j]
		f.Search += w * bits * each(v)
		f.Verify += w * (aim/v + 2*max(enoughBoots, math.Log(surety)/-math.Log1p(-v/2)))
		total += w
	}
	over := overKnown
	if len(weights) > 1 {
		over = overLearned
	}
	f.Search, f.Verify = over*f.Search/max(total, 1e-9), f.Verify/max(total, 1e-9)+s.model.BuildCost
	f.High = overHigh * max(f.Search, over*bits*each(p.Low))
	if runs, ended := s.reproduction(); !ended && runs > 1 { // the failures of the bad end are still to come
		n := float64(s.model.Reproduce)
		f.Least, f.Search, f.High = f.Least+n, f.Search+n/p.Mean, f.High+n/max(p.Low, 1e-9)
	}
	return f
}

// bits is what is still to be learned until the confidence is reached.
func (s *Search) bits() float64 {
	n, h := 0, 0.0
	for i, w := range s.weight {
		if i == 0 || s.prior[i] > 0 {
			n++
		}
		if w > 0 {
			h -= w * math.Log2(w)
		}
	}
	if s.none > 0 {
		h -= s.none * math.Log2(s.none)
	}
	wrong := 1 - s.model.Confidence
	return max(0, h-entropy(wrong)-wrong*math.Log2(float64(max(2, n)-1)))
}

// usualBuild is what a bit's build costs: what is built already costs nothing.
func (s *Search) usualBuild() float64 {
	total, n := 0.0, 0.0
	for i := range s.line {
		if c := s.line[i]; s.weight[i] > 0 && c.testable() {
			total += s.buildCost(i)
			n++
		}
	}
	return total / max(1, n)
}

// BudgetError says that a budget cannot suffice. All are in runs.
type BudgetError struct{ Budget, Least, Expected float64 }

func (e *BudgetError) Error() string {
	return fmt.Sprintf("a budget of %.0f runs cannot suffice: no search does it with less than %.0f; give it %.0f", e.Budget, math.Ceil(e.Least), math.Ceil(e.Expected))
}

// Check refuses a budget that cannot suffice, with the number that would do for nine
// searches of ten. 0 is no limit.
func (f Forecast) Check(budget float64) error {
	if budget <= 0 || budget >= f.Least {
		return nil
	}
	return &BudgetError{Budget: budget, Least: f.Least, Expected: f.High + f.Verify}
}
