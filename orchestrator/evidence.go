package orchestrator

import (
	"strings"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// knownOf gives the verdicts by what they are about. A case without a verdict whose
// suite the rig broke as often as it may is skip: no more runs will tell.
func (p Planner) knownOf(v View, verdicts []Judgement) map[TallyKey]verdict.Verdict {
	known := make(map[TallyKey]verdict.Verdict, len(verdicts))
	for _, j := range verdicts {
		known[j.TallyKey] = j.Verdict
	}
	for key, n := range v.Runs {
		if n.Recent < brokenRuns || n.Finished < n.Planned {
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
			}
		}
	}
	return points
}

// unreachable says whether a case without a verdict can never get one: its commit
// does not build or boot, or fails in a layer below.
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
				if known[TallyKey{Build: id, Machine: s.machine, Case: c}] == verdict.Bad {
					return true
				}
			}
		}
	}
	return false
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
func (p Planner) confirmation(v View, s series, r Regression) proof {
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
	if s.name == CaseBuild {
		if !clean {
			return unproven
		}
		return confirmed // compilers do not flake
	}
	enough := clean && r.Confidence >= accuseAt
	for _, c := range []string{r.Good, r.Bad} {
		build := v.Inputs[c]
		n := v.Tallies[TallyKey{Build: build, Machine: s.machine, Case: s.name}]
		if n.Passed+n.Failed < confirmBoots {
			enough = false
		}
	}
	if enough {
		return confirmed
	}
	if !clean {
		return unproven
	}
	for _, c := range []string{r.Good, r.Bad} {
		if p.runsLeft(v, s, v.Inputs[c]) {
			return unproven
		}
	}
	return exhausted
}

// runsLeft says whether planning may still ask for runs of a case on a build, or
// waits for some.
func (p Planner) runsLeft(v View, s series, build string) bool {
	for _, layer := range suites.Layers {
		for _, name := range p.Layers[layer].Suites {
			key := RunKey{Build: build, Machine: s.machine, Suite: name, Layer: layer}
			n, has := v.Runs[key]
			if !has || !strings.HasPrefix(s.name, name+"/") && s.name != CaseBoot {
				continue
			}
			if n.Finished < n.Planned {
				return true // under way
			}
			t := v.Tallies[TallyKey{Build: build, Machine: s.machine, Case: s.name}]
			if n.Recent < brokenRuns && t.Passed+t.Failed < provingBoots && n.Finished-n.Broken < confirmRuns {
				return true
			}
		}
	}
	return false
}

// toConfirm says how many results each case needs whose regression is about to be
// laid at somebody's door: those whose range is down to one step.
func toConfirm(v View, regs []Regression) map[TallyKey]int {
	at := places(v.Line)
	out := map[TallyKey]int{}
	for _, r := range regs {
		if r.State != Suspected || r.Case == CaseBuild || at[r.Bad] != at[r.Good]+1 {
			continue
		}
		need := confirmBoots
		told := func(c string) int {
			n := v.Tallies[TallyKey{Build: v.Inputs[c], Machine: r.Machine, Case: r.Case}]
			return n.Passed + n.Failed
		}
		if r.Confidence < accuseAt && told(r.Good) >= confirmBoots && told(r.Bad) >= confirmBoots {
			need = provingBoots
		}
		for _, c := range []string{r.Good, r.Bad} {
			out[TallyKey{Build: v.Inputs[c], Machine: r.Machine, Case: r.Case}] = need
		}
	}
	return out
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
		n := v.Tallies[TallyKey{Build: id, Machine: s.machine, Case: s.name}]
		if s.name == CaseBuild {
			n = buildCounts(v.Builds[id])
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
