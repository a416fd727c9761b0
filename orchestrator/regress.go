package orchestrator

import (
	"slices"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// series is one case on one machine.
type series struct {
	machine, name string
	layer         suites.Layer // 0 for builds
	part          bool         // of a foreign suite: no list of cases names it
}

// regress finds the places where a case turned bad, and says which commit each
// search wants tested next.
func (p Planner) regress(v View, cells []pipeline.Cell, verdicts []Judgement) ([]Regression, []Selection) {
	known := p.knownOf(v, verdicts)
	var regs []Regression
	var sel []Selection
	held := map[int64]bool{}
	want := func(s series, commit string) {
		sel = append(sel, Selection{Commit: commit, Target: v.Target, Reason: BySearch, Upto: max(s.layer, suites.Smoke)})
	}
	for _, s := range p.allSeries(v, cells) {
		line := p.statesOf(v, s, known)
		for _, t := range turns(line) {
			r, probe := p.follow(v, s, line, t)
			if r == nil {
				continue
			}
			held[r.ID] = true
			regs = append(regs, *r)
			if probe != "" {
				want(s, probe)
			}
		}
		for _, r := range stored(v, s) {
			ends := unknownEnds(v, r, line)
			switch {
			case r.State == Suspected && !held[r.ID] && len(ends) > 0:
				held[r.ID] = true // the evidence is another rig's: look at the ends again
				for _, c := range ends {
					want(s, c)
				}
			case r.State == Located || r.State == Ranged:
				if r.FixedBy = fixedBy(v, r, line); r.FixedBy != "" {
					r.State = Fixed
					regs = append(regs, r)
				}
			}
		}
	}
	for _, r := range v.Regressions {
		if r.State == Suspected && !held[r.ID] {
			r.State = Withdrawn
			regs = append(regs, r)
		}
	}
	return regs, sel
}

// stored lists the regressions of a series that the store has.
func stored(v View, s series) []Regression {
	var out []Regression
	for _, r := range v.Regressions {
		if r.Machine == s.machine && r.Case == s.name {
			out = append(out, r)
		}
	}
	return out
}

// unknownEnds lists the ends of a regression's range of which this rig has told
// nothing yet; none when an end has left the line.
func unknownEnds(v View, r Regression, line []bisect.Point) []string {
	at := places(v.Line)
	var out []string
	for _, c := range []string{r.Good, r.Bad} {
		if c == "" {
			continue
		}
		i, ok := at[c]
		if !ok {
			return nil
		}
		if line[i].State == bisect.Unknown {
			out = append(out, c)
		}
	}
	return out
}

// fixedBy is the oldest commit known good that is newer than a regression's bad
// end; empty: none is.
func fixedBy(v View, r Regression, line []bisect.Point) string {
	bad, ok := places(v.Line)[r.Bad]
	if !ok {
		return ""
	}
	for i := bad + 1; i < len(line); i++ {
		if line[i].State == bisect.Good {
			return v.Line[i].Hash
		}
	}
	return ""
}

// turn is a good commit and the next one on the line known to be bad. A good of -1
// means that none is known: the case was bad when it was first looked at.
type turn struct{ good, bad int }

// turns lists where a line goes from good to bad, with no verdict between.
func turns(line []bisect.Point) []turn {
	var out []turn
	good, wasBad := -1, false
	for i, p := range line {
		switch p.State {
		case bisect.Good:
			good, wasBad = i, false
		case bisect.Bad:
			if !wasBad {
				out = append(out, turn{good, i})
			}
			wasBad = true
		}
	}
	return out
}

// follow takes one turn a step further: probe between, confirm both ends, or
// settle. It returns nil when there is nothing to say that is not stored.
func (p Planner) follow(v View, s series, line []bisect.Point, t turn) (r *Regression, probe string) {
	reg := Regression{Upstream: v.Upstream, Target: v.Target, Machine: s.machine, Case: s.name, State: Suspected}
	if old := enclosing(v, s, t); old != nil {
		if old.State != Suspected {
			return nil, ""
		}
		reg = *old
	}
	reg.Bad = v.Line[t.bad].Hash
	if t.good < 0 {
		if pending(v, s, line[:t.bad]) {
			return nil, "" // an older commit may still turn out good
		}
		reg.State = Ranged // there is nothing to search between
		return &reg, ""
	}
	reg.Good = v.Line[t.good].Hash
	step := bisect.Next(line[t.good : t.bad+1])
	switch step.Kind {
	case bisect.Probe:
		return &reg, v.Line[t.good+step.At].Hash
	case bisect.Ranged:
		reg.State = Ranged
	case bisect.Found:
		reg.Good, reg.Bad = v.Line[t.good+step.Good].Hash, v.Line[t.good+step.At].Hash
		reg.Confidence = bisect.Confidence(tallies(v, s, line, turn{t.good + step.Good, t.good + step.At}))
		switch p.confirmation(v, s, reg) {
		case confirmed:
			reg.State, reg.Culprit = Located, reg.Bad
		case exhausted:
			reg.State = Ranged
		}
	}
	return &reg, ""
}

// pending says whether a commit that is to be tested that far has no verdict yet.
func pending(v View, s series, line []bisect.Point) bool {
	for i, p := range line {
		chosen, ok := v.Selected[v.Line[i].Hash]
		if ok && covers(chosen.Upto, s.layer) && p.State == bisect.Unknown {
			return true
		}
	}
	return false
}

// places maps each commit of a line to its index.
func places(line []Commit) map[string]int {
	at := make(map[string]int, len(line))
	for i, c := range line {
		at[c.Hash] = i
	}
	return at
}

// enclosing finds the stored regression that a turn belongs to: the same case,
// and the turn within its range.
func enclosing(v View, s series, t turn) *Regression {
	at := places(v.Line)
	for i, r := range v.Regressions {
		if r.Machine != s.machine || r.Case != s.name || r.State == Withdrawn {
			continue // a suspicion that was dropped says nothing about a later one
		}
		if r.State == Fixed && at[r.FixedBy] <= t.bad {
			continue // nor does one that was over before
		}
		good, okGood := at[r.Good]
		if r.Good == "" {
			good, okGood = -1, true
		}
		bad, okBad := at[r.Bad]
		if okGood && okBad && max(good, t.good) < min(bad, t.bad) {
			return &v.Regressions[i]
		}
	}
	return nil
}

// allSeries lists what can regress on the cells, parts of foreign suites included.
func (p Planner) allSeries(v View, cells []pipeline.Cell) []series {
	out := []series{{name: CaseBuild}}
	for _, cell := range cells {
		out = append(out, series{machine: cell.Machine, name: CaseBoot, layer: suites.Smoke})
		for _, s := range p.Suites {
			var layer suites.Layer
			for _, c := range s.Cases {
				if slices.Contains(cell.Layers, c.Layer) {
					layer = c.Layer
					out = append(out, series{machine: cell.Machine, name: s.Name + "/" + c.Name, layer: c.Layer})
				}
			}
			if layer == 0 {
				continue
			}
			for _, name := range p.parts(v, cell.Machine, s.Name) {
				out = append(out, series{machine: cell.Machine, name: name, layer: layer, part: true})
			}
		}
	}
	return out
}
