package orchestrator

import (
	"slices"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// series is one case on one machine.
type series struct{ machine, name string }

// regress finds the places where a case turned bad, and says which commit each
// search wants tested next.
func (p Planner) regress(v View, cells []pipeline.Cell, verdicts []Judgement) ([]Regression, []Selection) {
	known := p.knownOf(v, verdicts)
	var regs []Regression
	var sel []Selection
	held := map[int64]bool{}
	for _, s := range allSeries(cells, p.Suites) {
		line := statesOf(v, s, known)
		for _, t := range turns(line) {
			r, probe := follow(v, s, line, t)
			if r == nil {
				continue
			}
			held[r.ID] = true
			regs = append(regs, *r)
			if probe != "" {
				sel = append(sel, Selection{Commit: probe, Target: v.Target, Reason: BySearch})
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

// knownOf gives the verdicts by what they are about. A case that the rig broke as
// often as it may, so that no result is there to be judged, is skip: it cannot be
// told.
func (p Planner) knownOf(v View, verdicts []Judgement) map[TallyKey]verdict.Verdict {
	known := make(map[TallyKey]verdict.Verdict, len(verdicts))
	for _, j := range verdicts {
		known[j.TallyKey] = j.Verdict
	}
	for key, n := range v.Runs {
		if n.Broken < brokenRuns || n.Broken != n.Finished {
			continue
		}
		for _, name := range p.caseNames(key.Suite, key.Layer) {
			k := TallyKey{Build: key.Build, Machine: key.Machine, Case: name}
			if known[k] == "" {
				known[k] = verdict.Skip
			}
		}
	}
	return known
}

func allSeries(cells []pipeline.Cell, all []suites.Suite) []series {
	out := []series{{name: CaseBuild}}
	for _, cell := range cells {
		out = append(out, series{cell.Machine, CaseBoot})
		for _, s := range all {
			for _, c := range s.Cases {
				if slices.Contains(cell.Layers, c.Layer) {
					out = append(out, series{cell.Machine, s.Name + "/" + c.Name})
				}
			}
		}
	}
	return out
}

func statesOf(v View, s series, known map[TallyKey]verdict.Verdict) []bisect.Point {
	points := make([]bisect.Point, len(v.Line))
	for i, c := range v.Line {
		id := v.Inputs[c.Hash]
		points[i].Build = id
		switch known[TallyKey{Build: id, Machine: s.machine, Case: s.name}] {
		case verdict.Good:
			points[i].State = bisect.Good
		case verdict.Bad:
			points[i].State = bisect.Bad
		case verdict.Skip:
			points[i].State = bisect.Untestable
		default:
			points[i].State = stateFromBuild(s, id, known)
		}
	}
	return points
}

// stateFromBuild says what a commit without a verdict of its own can still be
// told to be: one that does not build or boot is untestable for every other case.
func stateFromBuild(s series, id string, known map[TallyKey]verdict.Verdict) bisect.State {
	if s.name == CaseBuild {
		return bisect.Unknown
	}
	build := known[TallyKey{Build: id, Case: CaseBuild}]
	boot := known[TallyKey{Build: id, Machine: s.machine, Case: CaseBoot}]
	if build == verdict.Bad || build == verdict.Skip {
		return bisect.Untestable
	}
	if s.name != CaseBoot && (boot == verdict.Bad || boot == verdict.Skip) {
		return bisect.Untestable
	}
	return bisect.Unknown
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
func follow(v View, s series, line []bisect.Point, t turn) (r *Regression, probe string) {
	reg := Regression{Upstream: v.Upstream, Target: v.Target, Machine: s.machine, Case: s.name, State: Suspected}
	if old := enclosing(v, s, t); old != nil {
		if old.State != Suspected {
			return nil, ""
		}
		reg = *old
	}
	reg.Bad = v.Line[t.bad].Hash
	if t.good < 0 {
		if pending(v, line[:t.bad]) {
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
		if s.name == CaseBuild || confirmed(v, s, reg) {
			reg.State = Located
			reg.Culprit = reg.Bad
			reg.Confidence = bisect.Confidence(tallies(v, s, reg))
		}
	}
	return &reg, ""
}

// pending says whether a commit that is to be tested has no verdict yet.
func pending(v View, line []bisect.Point) bool {
	for i, p := range line {
		if _, chosen := v.Selected[v.Line[i].Hash]; chosen && p.State == bisect.Unknown {
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

// confirmed says whether culprit and parent each had their cold boots.
func confirmed(v View, s series, r Regression) bool {
	for _, c := range []string{r.Good, r.Bad} {
		n := v.Tallies[TallyKey{Build: v.Inputs[c], Machine: s.machine, Case: s.name}]
		if n.Passed+n.Failed < confirmBoots {
			return false
		}
	}
	return true
}

// toConfirm names the cases that need more cold boots before their regression
// can be laid at anybody's door: those whose range is down to one step.
func toConfirm(v View, regs []Regression) map[TallyKey]bool {
	at := places(v.Line)
	out := map[TallyKey]bool{}
	for _, r := range regs {
		if r.State != Suspected || r.Case == CaseBuild || at[r.Bad] != at[r.Good]+1 {
			continue
		}
		for _, c := range []string{r.Good, r.Bad} {
			out[TallyKey{Build: v.Inputs[c], Machine: r.Machine, Case: r.Case}] = true
		}
	}
	return out
}

// tallies lists the counts of the distinct builds that were tested, from the start
// of the line to the culprit, and the culprit's place among them.
func tallies(v View, s series, r Regression) (line []bisect.Tally, culprit int) {
	last := ""
	for _, c := range v.Line {
		id := v.Inputs[c.Hash]
		if id == last {
			continue
		}
		last = id
		n := v.Tallies[TallyKey{Build: id, Machine: s.machine, Case: s.name}]
		if s.name == CaseBuild {
			n = buildCounts(v.Builds[id])
		}
		if n.Passed+n.Failed == 0 && c.Hash != r.Bad {
			continue
		}
		if c.Hash == r.Bad {
			culprit = len(line)
		}
		line = append(line, bisect.Tally{Passed: n.Passed, Failed: n.Failed})
		if c.Hash == r.Bad {
			break // what came later may have been fixed again
		}
	}
	return line, culprit
}

// buildCounts weighs a build's outcome as if it had been confirmed: compilers do
// not flake.
func buildCounts(b Build) verdict.Counts {
	switch b.Status {
	case suites.Passed:
		return verdict.Counts{Passed: confirmBoots}
	case suites.Failed:
		return verdict.Counts{Failed: confirmBoots}
	}
	return verdict.Counts{}
}
