package orchestrator

import (
	"slices"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// series is one case on one machine.
type series struct {
	machine, name string
	layer         suites.Layer // 0 for builds
	part          bool         // of a foreign suite: no list of cases names it
}

// upto is the layer that a commit is tested up to for a series' sake.
func (s series) upto() suites.Layer { return max(s.layer, suites.Smoke) }

// findings is what regress makes of a view.
type findings struct {
	at    map[string]int // commit → its place on the line
	known map[TallyKey]verdict.Verdict
	held  map[int64]bool   // stored regressions for which something still speaks
	regs  []Regression     // new, or to be stored anew
	sel   []Selection      // what they want tested
	open  []Regression     // those whose culprit is searched, and can be found
	prove map[TallyKey]int // what more boots must bear out before anything is said
}

// regress finds the places where a case turned bad, and says which commit each
// search wants tested next.
func (p Planner) regress(v View, cells []pipeline.Cell, verdicts []Judgement) findings {
	f := findings{known: p.knownOf(v, verdicts), at: places(v.Line), held: map[int64]bool{}, prove: map[TallyKey]int{}}
	for _, s := range p.allSeries(v, cells) {
		line := p.statesOf(v, s, f.known)
		for _, t := range turns(line) {
			p.follow(v, s, line, t, &f)
		}
		for _, r := range stored(v, s) {
			if !f.held[r.ID] {
				f.held[r.ID] = p.look(v, s, line, r, &f)
			}
		}
	}
	for _, r := range v.Regressions {
		if r.State == Suspected && !f.held[r.ID] {
			r.State = Withdrawn
			f.regs = append(f.regs, r)
		}
	}
	return f
}

// want asks for a commit to be tested as far as a series needs, unless somebody
// has asked before: to be selected again gives new tries, and only a pass does that.
func (f *findings) want(v View, s series, commit string) {
	if old, chosen := v.Selected[commit]; chosen && covers(old.Upto, s.upto()) {
		return
	}
	f.sel = append(f.sel, Selection{Commit: commit, Target: v.Target, Reason: BySearch, Upto: s.upto()})
}

// look takes a stored regression further that no turn of the line is about. It
// returns false when nothing speaks for it any more.
func (p Planner) look(v View, s series, line []bisect.Point, r Regression, f *findings) bool {
	switch ends := unknownEnds(f.at, r, line); {
	case r.State == Suspected && len(ends) > 0, r.State == Ranged && r.Good != "" && len(ends) > 0:
		for _, c := range ends { // the evidence is another rig's: look at the ends again
			f.want(v, s, c)
		}
		return true
	case r.State == Suspected && lostEnd(f.at, r, line) && !knownFlaky(v, s):
		r.State = Ranged // it is told what was seen, and nobody is accused of it
		f.regs = append(f.regs, r)
		return true
	case r.State == Located || r.State == Ranged:
		commit, proven := p.fixedBy(v, s, r, line, f)
		if proven {
			r.State, r.FixedBy = Fixed, commit
			f.regs = append(f.regs, r)
		} else if commit != "" {
			f.prove[v.key(s, commit)] = v.fixBoots(s, r)
			f.want(v, s, commit)
		}
		return true
	}
	return false
}

// key is what a series' results on a commit are kept by.
func (v View) key(s series, commit string) TallyKey {
	return TallyKey{Build: v.Inputs[commit], Machine: s.machine, Case: s.name}
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
func unknownEnds(at map[string]int, r Regression, line []bisect.Point) []string {
	var out []string
	for _, c := range []string{r.Good, r.Bad} {
		if c == "" {
			continue
		}
		i, ok := at[c]
		if !ok {
			return nil
		}
		if untold(line[i].State) {
			out = append(out, c)
		}
	}
	return out
}

// untold says whether a commit may be told yet.
func untold(s bisect.State) bool { return s == bisect.Unknown || s == bisect.Deferred }

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
// settle. A search that ended with a range goes on where new evidence lies within
// it; it keeps its state until it ends with less.
func (p Planner) follow(v View, s series, line []bisect.Point, t turn, f *findings) {
	reg := Regression{Upstream: v.Upstream, Target: v.Target, Machine: s.machine, Case: s.name, State: Suspected}
	old := enclosing(v, s, line, t, f.at)
	if old != nil {
		if old.State != Suspected && (old.State != Ranged || !within(f.at, *old, t)) {
			return
		}
		reg = *old
	}
	reg.Bad = v.Line[t.bad].Hash
	if t.good < 0 {
		if pending(v, s, line[:t.bad]) {
			return // an older commit may still turn out good
		}
		reg.State = Ranged // there is nothing to search between
	} else {
		reg = p.search(v, s, line, t, reg, f)
	}
	if old != nil && old.State == Ranged && reg == *old {
		return
	}
	f.held[reg.ID] = true
	f.regs = append(f.regs, reg)
}

// search narrows a regression with a good end, and says what it takes.
func (p Planner) search(v View, s series, line []bisect.Point, t turn, reg Regression, f *findings) Regression {
	reg.Good = v.Line[t.good].Hash
	if reg.State == Suspected && p.doubtful(v, s, reg.Bad, f.known) {
		f.prove[v.key(s, reg.Bad)] = confirmBoots
		return reg
	}
	step := bisect.Next(line[t.good : t.bad+1])
	switch step.Kind {
	case bisect.Probe:
		f.want(v, s, v.Line[t.good+step.At].Hash)
	case bisect.Ranged:
		reg.State = Ranged
		return reg
	case bisect.Found:
		reg.Good, reg.Bad = v.Line[t.good+step.Good].Hash, v.Line[t.good+step.At].Hash
		reg.Confidence = bisect.Confidence(tallies(v, s, line, turn{t.good + step.Good, t.good + step.At}))
		switch p.confirmation(v, s, reg, f.known) {
		case confirmed:
			reg.State, reg.Culprit = Located, reg.Bad
			return reg
		case exhausted:
			reg.State = Ranged
			return reg
		}
	}
	f.open = append(f.open, reg)
	return reg
}

// within says whether a turn with a good end lies in the range of a regression.
func within(at map[string]int, r Regression, t turn) bool {
	good, bad := -1, at[r.Bad]
	if r.Good != "" {
		good = at[r.Good]
	}
	return t.good >= 0 && good <= t.good && t.bad <= bad
}

// pending says whether a commit that is to be tested that far has no verdict yet.
func pending(v View, s series, line []bisect.Point) bool {
	for i, p := range line {
		chosen, ok := v.Selected[v.Line[i].Hash]
		if ok && covers(chosen.Upto, s.layer) && untold(p.State) {
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
// and one within the other's range.
func enclosing(v View, s series, line []bisect.Point, t turn, at map[string]int) *Regression {
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
		if okBad && r.State == Ranged && bad < t.bad && line[bad].State == bisect.Untestable {
			continue // nor does a flake about what is always bad
		}
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
