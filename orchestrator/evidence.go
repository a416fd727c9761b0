package orchestrator

import (
	"strings"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// knownOf gives the verdicts by what they are about. A case without a verdict whose
// suite ran, or was broken by the rig, as often as it may is skip: no more runs
// will tell.
func (p Planner) knownOf(v View, verdicts []Judgement) map[TallyKey]verdict.Verdict {
	known := make(map[TallyKey]verdict.Verdict, len(verdicts))
	for _, j := range verdicts {
		known[j.TallyKey] = j.Verdict
	}
	type suiteOf struct{ build, machine, suite string }
	spent := map[suiteOf]bool{} // in every layer that ran
	for key, n := range v.Runs {
		at := suiteOf{key.Build, key.Machine, key.Suite}
		over := n.Finished >= n.Planned &&
			(n.Recent >= brokenRuns || n.Finished-n.Broken >= max(confirmRuns, p.Layers[key.Layer].Repeat))
		if before, seen := spent[at]; !over || !seen || before {
			spent[at] = over
		}
		if !over {
			continue
		}
		for _, name := range p.caseNames(key.Suite, key.Layer) {
			k := TallyKey{Build: key.Build, Machine: key.Machine, Case: name}
			if known[k] == "" {
				known[k] = verdict.Skip
			}
		}
	}
	for k := range v.Tallies { // parts of suites have no other name than their results'
		suite, _, _ := strings.Cut(k.Case, "/")
		if known[k] == "" && spent[suiteOf{k.Build, k.Machine, suite}] {
			known[k] = verdict.Skip
		}
	}
	return known
}

// statesOf says what is known of each commit of the line for one series.
func (p Planner) statesOf(v View, s series, known map[TallyKey]verdict.Verdict) []bisect.Point {
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
			if p.unreachable(v, s, id, known) {
				points[i].State = bisect.Untestable
			} else if v.deferred(id) {
				points[i].State = bisect.Deferred
			}
		}
	}
	return points
}

// unreachable says whether a case without a verdict can never get one: its commit
// does not build or boot, or does not pass a layer below.
func (p Planner) unreachable(v View, s series, id string, known map[TallyKey]verdict.Verdict) bool {
	if s.name == CaseBuild {
		return false
	}
	stops := func(got verdict.Verdict) bool { return got == verdict.Bad || got == verdict.Skip }
	if stops(known[TallyKey{Build: id, Case: CaseBuild}]) {
		return true
	}
	if s.name == CaseBoot {
		return false
	}
	if stops(known[TallyKey{Build: id, Machine: s.machine, Case: CaseBoot}]) {
		return true
	}
	if s.part && p.ranWithout(v, s, id) {
		return true
	}
	for _, layer := range suites.Layers {
		if layer >= s.layer {
			break
		}
		for _, name := range p.Layers[layer].Suites {
			for _, c := range p.caseNames(name, layer) {
				k := TallyKey{Build: id, Machine: s.machine, Case: c}
				if stops(known[k]) && !onlySkipped(v.Tallies[k]) && !v.excused[k] {
					return true
				}
			}
		}
	}
	return false
}

// onlySkipped says whether a case was skipped whenever it was asked.
func onlySkipped(n verdict.Counts) bool {
	return n.Skipped > 0 && n == verdict.Counts{Skipped: n.Skipped}
}

// ranWithout says whether a build's suite came to its end without a part of it: the
// build does not have that part.
func (p Planner) ranWithout(v View, s series, id string) bool {
	if _, said := v.Tallies[TallyKey{Build: id, Machine: s.machine, Case: s.name}]; said {
		return false
	}
	suite, _, _ := strings.Cut(s.name, "/")
	n := v.Runs[RunKey{Build: id, Machine: s.machine, Suite: suite, Layer: s.layer}]
	return n.Finished-n.Broken > 0
}

// proof says how far the confirmation of a culprit is. The zero value is invalid.
type proof int

const (
	_         proof = iota
	unproven        // more boots can tell
	confirmed       // both ends had their cold boots, and the posterior is high enough
	exhausted       // as many runs as it may take told too little
)

// confirmation looks at the counts of a culprit and its parent.
func (p Planner) confirmation(v View, s series, r Regression, known map[TallyKey]verdict.Verdict) proof {
	clean := true
	for _, c := range []string{r.Good, r.Bad} {
		id := v.Inputs[c]
		if !v.Builds[id].Incremental {
			continue
		}
		if clean = false; v.BuildTries[id].Clean >= buildTries {
			return exhausted
		}
	}
	switch {
	case !clean:
		return unproven
	case s.name == CaseBuild:
		return confirmed // compilers do not flake
	}
	need, enough := v.boots(r), true
	for _, c := range []string{r.Good, r.Bad} {
		if v.told(s.machine, s.name, c) >= need {
			continue
		}
		if enough = false; !p.runsLeft(v, s, v.Inputs[c], need, known) {
			return exhausted
		}
	}
	switch {
	case !enough:
		return unproven
	case r.Confidence >= accuseAt:
		return confirmed
	}
	return exhausted
}

// told counts the runs in which a case said something of a commit.
func (v View) told(machine, name, commit string) int {
	n := v.Tallies[TallyKey{Build: v.Inputs[commit], Machine: machine, Case: name}]
	return n.Passed + n.Failed
}

// boots is how many results the culprit and its parent need each: more when the
// usual number has not told enough.
func (v View) boots(r Regression) int {
	least := min(v.told(r.Machine, r.Case, r.Good), v.told(r.Machine, r.Case, r.Bad))
	if r.Confidence < accuseAt && least >= confirmBoots {
		return provingBoots
	}
	return confirmBoots
}

// runsLeft says whether planning may still ask for runs of a case on a build that
// has told less than it needs, or waits for some.
func (p Planner) runsLeft(v View, s series, build string, need int, known map[TallyKey]verdict.Verdict) bool {
	t := v.Tallies[TallyKey{Build: build, Machine: s.machine, Case: s.name}]
	for _, layer := range suites.Layers {
		for _, name := range p.Layers[layer].Suites {
			n, ran := v.Runs[RunKey{Build: build, Machine: s.machine, Suite: name, Layer: layer}]
			if !ran || !strings.HasPrefix(s.name, name+"/") && s.name != CaseBoot {
				continue
			}
			if n.Finished < n.Planned || n.Recent < brokenRuns && t.Passed+t.Failed < need && n.Finished-n.Broken < confirmRuns {
				return true
			}
		}
		// A layer that does not pass any more keeps those above it from running.
		if open, passed := p.layerState(v, s.machine, build, layer, known); open || !passed {
			return open
		}
	}
	return false
}

// layerState says whether a case of a layer has no verdict on a build yet, and else
// whether all of them let the layer above run.
func (p Planner) layerState(v View, machine, build string, layer suites.Layer, known map[TallyKey]verdict.Verdict) (open, passed bool) {
	passed = true
	for _, name := range p.Layers[layer].Suites {
		if _, ran := v.Runs[RunKey{Build: build, Machine: machine, Suite: name, Layer: layer}]; !ran {
			continue
		}
		for _, c := range p.caseNames(name, layer) {
			k := TallyKey{Build: build, Machine: machine, Case: c}
			switch got := known[k]; {
			case got == "":
				open = true
			case got != verdict.Good && (c == CaseBoot || !onlySkipped(v.Tallies[k])):
				passed = false
			}
		}
	}
	return open && passed, passed
}

// tallies lists the counts of the distinct builds that were tested, from the last
// time that the case was bad before to the culprit, and the culprit's place among
// them. What came before or later is another story.
func tallies(v View, s series, line []bisect.Point, t turn) (out []bisect.Tally, culprit int) {
	from := t.good
	for from > 0 && line[from-1].State != bisect.Bad {
		from--
	}
	last := ""
	for i := from; i <= t.bad; i++ {
		id := line[i].Build
		if id == last {
			continue
		}
		last = id
		key := TallyKey{Build: id, Machine: s.machine, Case: s.name}
		n := v.Tallies[key]
		switch {
		case s.name == CaseBuild:
			n = buildCounts(v.Builds[id])
		case v.excused[key]:
			continue // another failure, and a known one
		}
		if n.Passed+n.Failed > 0 || i == t.bad {
			out = append(out, bisect.Tally{Passed: n.Passed, Failed: n.Failed})
		}
	}
	return out, len(out) - 1
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
