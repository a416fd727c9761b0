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

// What a search costs over the bound at each p, and how far the tenth that costs
// most goes beyond that; what not knowing p costs. From docs/bisect.md.
const (
	overBound = 1.25
	overKnown = 1.2
	overHigh  = 1.35
)

// Forecast tells what is to come.
func (s *Search) Forecast() Forecast {
	bits := s.bits()
	p, q := s.marginals()
	low, high := chance(s.cells.p, p), chance(s.cells.q, q).Mean
	build := s.usualBuild()
	each := func(p float64) float64 {
		if p <= high {
			p = high + 1e-3
		}
		return 1/Capacity(p, high) + build
	}
	f := Forecast{Least: bits * each(low.High)}
	total := 0.0
	for j, w := range p {
		v := s.cells.p[j]
		f.Search += w * bits * each(v)
		total += w
		f.Verify += w * (aim/v + 2*max(enoughBoots, math.Log(surety)/-math.Log1p(-v/2)))
	}
	if total > 0 {
		f.Search, f.Verify = f.Search/total, f.Verify/total+s.model.BuildCost
	}
	over := overKnown
	if len(s.cells.p) > 1 {
		over *= overBound
	}
	f.Search *= over
	f.High = max(f.Search, bits*each(low.Low)*over) * overHigh
	if wanted, ended := s.reproduction(); !ended {
		_ = wanted
		n := float64(s.model.Reproduce) / max(low.Mean, 1e-9)
		f.Least, f.Search, f.High = f.Least+float64(s.model.Reproduce), f.Search+n, f.High+float64(s.model.Reproduce)/max(low.Low, 1e-9)
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
