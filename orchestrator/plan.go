package orchestrator

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// Names of the cases that every commit has without any suite.
const (
	CaseBuild = "build"
	CaseBoot  = "boot"
)

const (
	// buildTries bounds how often a build that the rig broke is tried at a pass.
	buildTries = 3
	// brokenRuns bounds the infra errors of one suite on one image.
	brokenRuns = 3
	// confirmBoots is how many cold boots must confirm the culprit and its parent
	// each before anybody is accused.
	confirmBoots = 5
	// provingBoots is how many they may take when the posterior is too low after
	// that, and confirmRuns bounds the runs. A case that has not told enough by then
	// accuses nobody.
	provingBoots = 2 * confirmBoots
	confirmRuns  = 3 * confirmBoots
	// accuseAt is the posterior below which nobody is accused.
	accuseAt = .95
)

// triesOf is how often a pass tries a build that ends so. What has not been
// published when it is asked for seldom is a moment later.
var triesOf = map[suites.Status]int{suites.Broken: buildTries, suites.Skipped: 1}

// Planner decides what is to be done next. It is pure: the same view gives the
// same decision, and a decision that was carried out already gives nothing new.
type Planner struct {
	Cells    []pipeline.Cell
	Machines map[string]pipeline.Machine
	Layers   map[suites.Layer]pipeline.Layer
	Suites   []suites.Suite
	Every    map[string]bool // upstreams of which each commit is tested, not the newest only
	Known    []verdict.KnownFailure
}

// Plan turns what is known of a target into what to do: verdicts from counts,
// regressions from verdicts, commits to test from regressions, jobs from all.
func (p Planner) Plan(v View) Decision {
	d := Decision{Upstream: v.Upstream, Target: v.Target, Rig: v.Rig.Digest}
	cells := p.cells(v)
	d.Known = p.reviewKnown(v)
	v.excuse(d.Known)
	d.Verdicts = judge(v)
	found := p.regress(v, cells, d.Verdicts)
	d.Regressions = found.regs
	d.Select = append(found.sel, baseline(v)...)
	if p.Every[v.Upstream] {
		d.Select = append(d.Select, unselected(v)...)
	}
	confirm := found.toConfirm(v)
	var again []Job // builds that the rig broke before
	d.Jobs, again = cleanBuilds(v, found.open)
	for _, w := range wantedBuilds(v, d.Select) {
		b, built := v.Builds[w.build]
		switch {
		case !built:
			d.Jobs = append(d.Jobs, buildJob(v, w.commit, w.build))
			continue
		case b.Status != suites.Passed:
			if v.BuildTries[w.build].Futile < triesOf[b.Status] {
				again = append(again, buildJob(v, w.commit, w.build))
			}
			continue
		}
		for _, cell := range cells {
			d.Jobs = append(d.Jobs, p.runJobs(v, w, b, cell, confirm)...)
		}
	}
	if len(d.Jobs) == 0 && !v.underWay() {
		d.Jobs = leastTried(v, again)
	}
	return d
}

// wantedBuild is a build that somebody wants tested, and how far.
type wantedBuild struct {
	build, commit string // the first commit that wants it
	upto          suites.Layer
}

// wantedBuilds lists the builds of the selected commits, each once, in the order
// of the line.
func wantedBuilds(v View, more []Selection) []wantedBuild {
	upto := map[string]suites.Layer{}
	for _, s := range v.Selected {
		upto[s.Commit] = s.Upto
	}
	for _, s := range more {
		old, known := upto[s.Commit]
		if !known {
			old = s.Upto
		}
		upto[s.Commit] = wider(old, s.Upto)
	}
	at := map[string]int{}
	var out []wantedBuild
	for _, c := range v.Line {
		layer, chosen := upto[c.Hash]
		if !chosen {
			continue
		}
		id := v.Inputs[c.Hash]
		if i, seen := at[id]; seen {
			out[i].upto = wider(out[i].upto, layer)
			continue
		}
		at[id] = len(out)
		out = append(out, wantedBuild{id, v.commitOf(id, c.Hash), layer})
	}
	return out
}

// commitOf is the commit that a build was made from, or is to be made from when
// nobody has made it: builds of equal images are one, under the id of the first.
func (v View) commitOf(build, commit string) string {
	if b, made := v.Builds[build]; made {
		return b.Commit
	}
	return commit
}

func (p Planner) cells(v View) []pipeline.Cell {
	var out []pipeline.Cell
	for _, c := range p.Cells {
		if c.Upstream == v.Upstream && c.Target == v.Target {
			out = append(out, c)
		}
	}
	return out
}

// unselected lists the commits that nobody has selected yet. What was selected
// for a rig that is gone was tested then: it is not all done again.
func unselected(v View) []Selection {
	var out []Selection
	for _, c := range v.Line {
		if _, ok := v.Selected[c.Hash]; !ok && !v.Stale[c.Hash] && !c.Beyond {
			out = append(out, Selection{Commit: c.Hash, Target: v.Target, Reason: ByEvery})
		}
	}
	return out
}

// baseline asks for the newest commit that another rig tested: what comes after
// it is compared with what this rig sees there.
func baseline(v View) []Selection {
	for i := len(v.Line) - 1; i >= 0; i-- {
		c := v.Line[i].Hash
		if !v.Stale[c] {
			continue
		}
		if _, chosen := v.Selected[c]; chosen {
			return nil
		}
		return []Selection{{Commit: c, Target: v.Target, Reason: ByBaseline}}
	}
	return nil
}

// runJobs walks the layers of a cell from the bottom up and stops at the first
// that has not passed: a layer starts only when the one below passed.
func (p Planner) runJobs(v View, w wantedBuild, b Build, cell pipeline.Cell, confirm map[TallyKey]int) []Job {
	var jobs []Job
	for _, layer := range cell.Layers {
		if !covers(w.upto, layer) {
			break
		}
		passed := true
		for _, name := range p.Layers[layer].Suites {
			if p.idle(cell.Machine, name, layer) {
				continue
			}
			key := RunKey{Build: b.ID, Machine: cell.Machine, Suite: name, Layer: layer}
			cases := p.caseNames(name, layer)
			want := p.wanted(v, key, append(p.parts(v, cell.Machine, name), cases...), confirm)
			jobs = append(jobs, p.newRuns(v, w.commit, b, key, want)...)
			passed = passed && layerPassed(v, key, cases)
		}
		if !passed {
			break
		}
	}
	return jobs
}

// idle says whether a machine lacks what every case of a suite in a layer asks for, as
// far as can be told before it is booted: nobody need boot it for them to be skipped.
func (p Planner) idle(machine, suite string, layer suites.Layer) bool {
	cases := CasesOf(p.Suites, suite, layer, "")
	return len(cases) > 0 && able(p.Machines[machine], cases) == 0
}

// caseNames lists the cases of a suite in a layer, "boot" first.
func (p Planner) caseNames(suite string, layer suites.Layer) []string {
	names := []string{CaseBoot}
	for _, s := range p.Suites {
		if s.Name != suite {
			continue
		}
		for _, c := range s.Cases {
			if c.Layer == layer {
				names = append(names, s.Name+"/"+c.Name)
			}
		}
	}
	return names
}

// parts lists the cases of a suite that only its results name: what a foreign test
// suite that it ran was made of.
func (p Planner) parts(v View, machine, suite string) []string {
	known := map[string]bool{}
	for _, layer := range suites.Layers {
		for _, name := range p.caseNames(suite, layer) {
			known[name] = true
		}
	}
	var out []string
	for k := range v.Tallies {
		if k.Machine == machine && !known[k.Case] && strings.HasPrefix(k.Case, suite+"/") {
			known[k.Case] = true
			out = append(out, k.Case)
		}
	}
	slices.Sort(out)
	return out
}

// wanted is how many conclusive runs a suite should have on a build: the
// pipeline's repeat, more while a case is undecided, and more until a case that is
// about to accuse somebody has told its result often enough.
func (p Planner) wanted(v View, key RunKey, cases []string, confirm map[TallyKey]int) int {
	told := v.Runs[key].Finished - v.Runs[key].Broken
	want := max(1, p.Layers[key.Layer].Repeat)
	for _, name := range cases {
		tally := TallyKey{Build: key.Build, Machine: key.Machine, Case: name}
		n, said := v.Tallies[tally]
		// A case that a run did not come to, as a part that this build does not have,
		// says nothing by running again.
		if said && told > 0 {
			if _, more := v.judgeCase(tally); more > 0 {
				want = max(want, told+more)
			}
		}
		if missing := confirm[tally] - n.Passed - n.Failed; missing > 0 {
			want = max(want, min(told+missing, confirmRuns))
		}
	}
	return min(want, max(confirmRuns, p.Layers[key.Layer].Repeat))
}

// newRuns makes the runs that are missing. Each repeat has a number, and so an
// id, of its own.
func (p Planner) newRuns(v View, commit string, b Build, key RunKey, want int) []Job {
	n := v.Runs[key]
	if n.Recent >= brokenRuns {
		return nil
	}
	machine := p.Machines[key.Machine]
	missing := want - (n.Planned - n.Broken)
	var jobs []Job
	for i := range max(0, missing) {
		j := Job{
			Kind: RunJob, Upstream: v.Upstream, Commit: commit, Target: b.Target, Build: b.ID, Image: b.Image,
			Machine: key.Machine, Def: &machine, Rig: v.Rig.Digest,
			Suite: key.Suite, Layer: key.Layer, Repeat: n.Planned + n.Dropped + i,
		}
		j.ID = fmt.Sprintf("run-%s-%s-%s-%s-%s-%d", b.ID[:min(12, len(b.ID))], v.Rig.Digest[:min(6, len(v.Rig.Digest))],
			j.Machine, j.Suite, j.Layer, j.Repeat)
		j.Seed = seedOf(j.ID)
		jobs = append(jobs, j)
	}
	return jobs
}

// seedOf draws a run's seed from its identity, so that the same plan gives the
// same seeds.
func seedOf(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:8]) >> 1 // fits SQLite's signed integers
}

// cleanBuilds asks for clean builds of the ends of a range that is down to one
// step: what objects of earlier builds decided accuses nobody. Those that the rig
// broke before are asked for again.
func cleanBuilds(v View, open []Regression) (jobs, again []Job) {
	at := places(v.Line)
	asked := map[string]bool{}
	for _, r := range open {
		if at[r.Bad] != at[r.Good]+1 {
			continue
		}
		for _, c := range []string{r.Good, r.Bad} {
			id := v.Inputs[c]
			if !v.Builds[id].Incremental || v.BuildTries[id].Clean >= buildTries || asked[id] {
				continue
			}
			asked[id] = true
			j := buildJob(v, v.commitOf(id, c), id)
			j.ID, j.Clean = "clean-"+j.ID, true
			if v.BuildTries[id].Clean > 0 {
				again = append(again, j)
			} else {
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, again
}

func buildJob(v View, commit, build string) Job {
	id := fmt.Sprintf("build-%s-%s", build[:min(16, len(build))], v.Target)
	if done := v.BuildTries[build].Done; done > 0 {
		id = fmt.Sprintf("%s-%d", id, done)
	}
	return Job{ID: id, Kind: BuildJob, Upstream: v.Upstream, Commit: commit, Target: v.Target, Build: build, Rig: v.Rig.Digest}
}

// layerPassed says whether every case of a suite is good, was skipped whenever it was
// asked, or fails as is known. What is broken or goes both ways has not passed.
func layerPassed(v View, key RunKey, cases []string) bool {
	for _, name := range cases {
		if v.stopsLayer(TallyKey{Build: key.Build, Machine: key.Machine, Case: name}) {
			return false
		}
	}
	return true
}

// judge gives every tally its verdict, and each build one for the case "build".
func judge(v View) []Judgement {
	var out []Judgement
	for key, c := range v.Tallies {
		if got, _ := v.judgeCase(key); got != "" {
			out = append(out, Judgement{TallyKey: key, Verdict: got, Counts: c})
		}
	}
	for id, b := range v.Builds {
		j := Judgement{TallyKey: TallyKey{Build: id, Case: CaseBuild}}
		switch {
		case b.Status == suites.Passed:
			j.Verdict, j.Counts = verdict.Good, verdict.Counts{Passed: 1}
		case b.Status == suites.Failed:
			// A compiler's answer does not vary: one is enough.
			j.Verdict, j.Counts = verdict.Bad, verdict.Counts{Failed: 1}
		case b.Status == suites.Skipped:
			j.Verdict, j.Counts = verdict.Skip, verdict.Counts{Skipped: 1}
		case v.BuildTries[id].Futile >= buildTries:
			j.Verdict, j.Counts = verdict.Skip, verdict.Counts{Broken: v.BuildTries[id].Futile}
		default:
			continue
		}
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b Judgement) int {
		return cmp.Or(strings.Compare(a.Build, b.Build), strings.Compare(a.Machine, b.Machine), strings.Compare(a.Case, b.Case))
	})
	return out
}

// BuildID is the digest of a build's inputs: the target, what the builder reads
// besides the tree (salt) and the object ids of the paths that it reads from it.
func BuildID(target, salt string, paths []string, ids map[string]string) string {
	h := sha256.New()
	fmt.Fprintf(h, "headwatch build 1\n%s\n%s\n", target, salt)
	for _, p := range slices.Sorted(slices.Values(paths)) {
		fmt.Fprintf(h, "%q %q\n", p, ids[p])
	}
	return hex.EncodeToString(h.Sum(nil))
}
