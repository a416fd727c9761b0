package bisect

// Ending is how a search ends. The zero value: it has not.
type Ending int

// How a search ends.
const (
	_              Ending = iota
	Culprit               // one commit has the mass that was asked for
	Range                 // several have, and nothing that can be asked tells them apart
	BadBefore             // the first commit is bad already: begin earlier
	NoCulprit             // it fails everywhere at one rate
	Irreproducible        // the bad end does not fail
	OverBudget            // what is left to do costs more than may be spent
)

var endings = map[Ending]string{
	Culprit: "culprit", Range: "range", BadBefore: "bad_before", NoCulprit: "no_culprit",
	Irreproducible: "irreproducible", OverBudget: "over_budget",
}

// String is the ending's name in documents; empty while there is none.
func (e Ending) String() string { return endings[e] }

// Answer is what a search knows of the culprit.
type Answer struct {
	Ending       Ending
	Commits      []int   // the candidates, ascending: together they have the confidence
	Confidence   float64 // the posterior that it is one of them, or of the ending
	Verification Verification
}

// answer is how the search ends as it stands.
func (s *Search) answer(c classes) Answer {
	top := c.likeliest()
	switch need := s.model.Confidence; {
	case s.irreproducible():
		return Answer{Ending: Irreproducible, Confidence: 1 - unseen}
	case c.mass[top] >= need:
		a := Answer{Ending: Range, Commits: s.members(c, map[int]bool{top: true}), Confidence: c.mass[top]}
		if len(a.Commits) == 1 {
			a.Ending = Culprit
		}
		return a
	case s.weight[0]+s.none >= need:
		// Both say that the first commit fails as well, and differ in how often.
		a := Answer{Ending: BadBefore, Confidence: s.weight[0] + s.none}
		if s.none > s.weight[0] {
			a.Ending = NoCulprit
		}
		return a
	}
	return Answer{}
}

// negligible is the mass below which a candidate is none.
const negligible = 1e-6

// open is the answer of a search that stops short: the fewest commits that together
// have the confidence, or all that have any.
func (s *Search) open(c classes, e Ending) Answer {
	of := map[int]bool{}
	a := Answer{Ending: e}
	rest := classes{mass: append([]float64{}, c.mass...)}
	for a.Confidence < s.model.Confidence {
		top := rest.likeliest()
		if rest.mass[top] < negligible {
			break
		}
		a.Confidence += rest.mass[top]
		rest.mass[top], of[top] = 0, true
	}
	a.Commits = s.members(c, of)
	return a
}

// irreproducible says whether the bad end ran so often without a failure that it
// does not fail.
func (s *Search) irreproducible() bool {
	if len(s.model.P.Values) == 1 || s.model.Reproduce < 0 {
		return false
	}
	for _, a := range s.asked {
		if a.total.Failed > 0 {
			return false // some commit failed: there is something to find
		}
		if a.commit == len(s.line)-1 && a.total.Passed+a.total.Other >= s.model.patience() {
			return true
		}
	}
	return false
}
