package orchestrator

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/suites"
)

// search is one bisection over a view, for the time of one decision.
type search struct {
	p       Planner
	v       View // merged
	b       Bisection
	o       BisectOptions
	commits []Commit // from one end to the other, each a build of its own
	seen    []Observed
}

// untoldRuns is after how many runs that said nothing, and none that did, a commit
// counts as one that cannot be tested.
const untoldRuns = 3

// line says what is known of each commit's image.
func (t search) line() bisect.Line {
	type tally struct{ told, noBoot, silent int }
	of := map[string]tally{}
	for _, s := range t.seen {
		n := of[s.Job.Build]
		switch {
		case s.Open || s.Run == "":
		case t.outcome(s) != 0:
			n.told++
		case s.Booted == suites.Failed:
			n.noBoot++
		default:
			n.silent++
		}
		of[s.Job.Build] = n
	}
	line := make(bisect.Line, 0, len(t.commits))
	for _, c := range t.commits {
		id := t.v.Inputs[c.Hash]
		b, made := t.v.Builds[id]
		n := of[id]
		state := bisect.NotBuilt
		switch {
		case !made:
		case t.b.Case == CaseBuild && b.Status == suites.Failed:
			state = bisect.Built
		case b.Status == suites.Failed, b.Status == suites.Skipped,
			b.Status == suites.Broken && t.v.BuildTries[id].Futile >= buildTries:
			state = bisect.Unbuildable
		case b.Status == suites.Broken: // is tried again
		case n.told == 0 && n.noBoot >= 2, n.silent >= untoldRuns*(1+n.told):
			state = bisect.Unbootable
		default:
			state = bisect.Built
		}
		line = append(line, bisect.Commit{State: state, Class: id})
	}
	return line
}

// outcome is what a run tells of what is searched; 0: nothing.
func (t search) outcome(s Observed) bisect.Outcome {
	failed, passed := bisect.Fail, bisect.Pass
	if t.b.Fix {
		failed, passed = passed, failed
	}
	switch {
	case s.Open || s.Run == "":
		return 0
	case t.b.Crash != "" && slices.Contains(s.Crashes, t.b.Crash):
		return failed
	case t.b.Crash != "" && (s.Status == suites.Failed || s.Booted == suites.Failed):
		return bisect.Other
	case s.Status == suites.Passed, s.Status == suites.ExpectedFailure:
		return passed
	case s.Status == suites.Failed:
		return failed
	}
	return 0
}

// evidence is what runs said of the line, and the counts of each commit.
func (t search) evidence() (*bisect.Evidence, []bisect.Count, error) {
	at := map[string]int{} // build → its commit
	for i, c := range t.commits {
		at[t.v.Inputs[c.Hash]] = i
	}
	e := new(bisect.Evidence)
	add := func(o bisect.Observation) error {
		_, err := e.Add(o)
		return err
	}
	for _, s := range t.seen {
		i, ok := at[s.Job.Build]
		if got := t.outcome(s); ok && got != 0 && t.b.Case != CaseBuild {
			if err := add(bisect.Observation{ID: s.Run, Commit: i, Boot: s.Boot, Outcome: got}); err != nil {
				return nil, nil, err
			}
		}
	}
	if t.b.Case == CaseBuild {
		// Compilers do not flake: one answer is as good as confirmed.
		for id, i := range at {
			o := t.outcome(Observed{Run: id, Status: t.v.Builds[id].Status})
			for n := range confirmBoots {
				if o == 0 {
					break
				}
				if err := add(bisect.Observation{ID: fmt.Sprintf("%s-%d", id, n), Commit: i, Outcome: o}); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	counts := make([]bisect.Count, len(t.commits))
	for i := range counts {
		counts[i], _ = e.Of(i, false)
		if t.b.Fix { // as people count
			counts[i].Failed, counts[i].Passed = counts[i].Passed, counts[i].Failed
		}
	}
	return e, counts, nil
}

// model is how runs are expected to fail. Of a fix it is turned round: what a fixed
// commit does nearly always is to pass, as the model's good commit does.
func (t search) model(c BisectionCost) bisect.Model {
	m := bisect.DefaultModel()
	m.Confidence, m.PerBoot = t.b.Confidence, t.perBoot()
	if c.EachRun > 0 && c.EachBuild > 0 {
		m.BuildCost = min(max(float64(c.EachBuild)/float64(c.EachRun), .1), 1000)
	}
	switch {
	case t.b.Case == CaseBuild:
		m.P, m.Q, m.BuildCost, m.Reproduce = bisect.Known(1), bisect.Known(0), 1, -1
	case t.b.Fix:
		m.P, m.Q = opposite(m.Q), opposite(m.P)
	}
	return m
}

// opposite is the distribution of 1 - x, ascending.
func opposite(g bisect.Grid) (out bisect.Grid) {
	for i := len(g.Values) - 1; i >= 0; i-- {
		out.Values, out.Weights = append(out.Values, 1-g.Values[i]), append(out.Weights, g.Weights[i])
	}
	return out
}

// perBoot is how many runs come from one boot while the search narrows: a boot that
// is the case itself has but one.
func (t search) perBoot() int {
	if t.b.Case == CaseBoot || t.b.Case == CaseBuild {
		return 1
	}
	return runsPerBoot
}

func (t search) options(c BisectionCost) bisect.Options {
	o := bisect.Options{Machines: max(1, t.o.Machines), Builders: t.o.Ahead, NoRevert: true}
	if t.o.Budget > 0 && c.EachRun > 0 {
		o.Spent = float64(c.RunTime+c.BuildTime) / float64(c.EachRun)
		o.Budget = float64(t.o.Budget) / float64(c.EachRun)
	}
	if t.o.Runs > 0 {
		o.Spent, o.Budget = float64(c.Runs)+float64(c.Builds)*t.model(c).BuildCost, float64(t.o.Runs)
	}
	return o
}

// cost adds up what the search has spent, and what a run and a build take.
func (t search) cost() (c BisectionCost) {
	var all time.Duration
	told := 0
	for _, s := range t.seen {
		if s.Run == "" || s.Job.Case == "" {
			continue // a pass's run is of a whole suite
		}
		all, told = all+s.Took, told+1
		if s.Job.Bisection != t.b.ID {
			continue
		}
		c.Runs++
		c.RunTime += s.Took
		if s.Job.Confirm {
			c.VerifyTime += s.Took
		}
	}
	if told > 0 {
		c.EachRun = all / time.Duration(told)
	}
	var builds time.Duration
	made := 0
	for _, k := range t.commits {
		b, ok := t.v.Builds[t.v.Inputs[k.Hash]]
		if !ok || b.Duration <= 0 {
			continue
		}
		builds, made = builds+b.Duration, made+1
		if !b.Finished.Before(t.b.Opened) {
			c.Builds++
			c.BuildTime += b.Duration
		}
	}
	if made > 0 {
		c.EachBuild = builds / time.Duration(made)
	}
	return c
}

// whyStuck says why the newer end cannot be run.
func (t search) whyStuck() string {
	id := t.v.Inputs[t.b.Bad]
	b := t.v.Builds[id]
	if b.Status != suites.Passed {
		return fmt.Sprintf("commit %s cannot be built: %s", t.b.Bad, b.Reason)
	}
	why := "its runs say nothing"
	for _, s := range t.seen {
		if s.Job.Build == id && s.Reason != "" {
			why = s.Reason
		}
	}
	return fmt.Sprintf("case %s cannot be run on commit %s: %s", t.b.Case, t.b.Bad, why)
}

// jobs turns a plan into what is to be queued: as many runs as there are machines,
// less those that are under way, and builds that are wanted next.
func (t search) jobs(p bisect.Plan) (out []Job) {
	under, total := map[string]int{}, 0
	for _, s := range t.seen {
		if s.Open && s.Job.Bisection == t.b.ID {
			under[s.Job.Build]++
			total++
		}
	}
	free := max(1, t.o.Machines) - total
	for _, ask := range p.Asks {
		id := t.v.Inputs[t.commits[ask.Commit].Hash]
		switch {
		case !t.built(id):
			out = append(out, t.build(ask.Commit))
			continue
		case p.Goal == bisect.Confirm && t.v.Builds[id].Incremental && t.v.BuildTries[id].Clean < buildTries:
			j := t.build(ask.Commit) // objects of earlier builds accuse nobody
			j.ID, j.Clean = "clean-"+j.ID, true
			out = append(out, j)
			continue
		}
		n := min(ask.Runs, max(1, ask.Machines)) - under[id]
		n = min(n, free)
		free -= max(0, n)
		out = append(out, t.runs(ask.Commit, n, p.Goal == bisect.Confirm)...)
	}
	for _, i := range p.Ahead {
		if !t.built(t.v.Inputs[t.commits[i].Hash]) {
			out = append(out, t.build(i))
		}
	}
	return out
}

func (t search) built(id string) bool { return t.v.Builds[id].Status == suites.Passed }

func (t search) build(i int) Job {
	c := t.commits[i].Hash
	j := buildJob(t.v, t.v.commitOf(t.v.Inputs[c], c), t.v.Inputs[c])
	j.Bisection = t.b.ID
	return j
}

// runs makes n runs of a commit. Each that confirms has a cold boot of its own.
func (t search) runs(i, n int, confirm bool) (out []Job) {
	c := t.commits[i].Hash
	b := t.v.Builds[t.v.Inputs[c]]
	boots, ran := map[int]int{}, 0
	for _, s := range t.seen {
		if s.Job.Build == b.ID && s.Job.Case == t.b.Case {
			ran++
			boots[s.Job.Boot]++
		}
	}
	suite, layer := t.suite()
	machine := t.p.Machines[t.b.Machine]
	for range max(0, n) {
		boot := 1
		for boots[boot] > 0 && (confirm || boots[boot] >= t.perBoot()) {
			boot++
		}
		if confirm { // and later runs are none of its clones
			boots[boot] = t.perBoot() - 1
		}
		boots[boot]++
		j := Job{
			Kind: RunJob, Upstream: t.v.Upstream, Commit: t.v.commitOf(b.ID, c), Target: b.Target, Build: b.ID, Image: b.Image,
			Machine: t.b.Machine, Def: &machine, Rig: t.v.Rig.Digest, Suite: suite, Layer: layer,
			Case: t.b.Case, Boot: boot, Repeat: ran, Bisection: t.b.ID, Confirm: confirm,
		}
		j.ID = caseJobID(j)
		j.Seed = seedOf(j.ID)
		ran++
		out = append(out, j)
	}
	return out
}

// caseJobID names a run of one case: the n-th of it on a build, whichever search asks.
func caseJobID(j Job) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\n%s\n%s", j.Machine, j.Case, j.Image)
	return fmt.Sprintf("case-%s-%s-%016x-%d", j.Build[:min(12, len(j.Build))], j.Rig[:min(6, len(j.Rig))], h.Sum64(), j.Repeat)
}

// suite is the suite and layer of the case; of a boot, any that the machine runs.
func (t search) suite() (string, suites.Layer) {
	if t.b.Case != CaseBoot {
		name, only := suiteOf(t.b.Case)
		for _, s := range t.p.Suites {
			for _, c := range s.Cases {
				if s.Name == name && c.Name == only {
					return name, c.Layer
				}
			}
		}
		return name, suites.Smoke
	}
	for _, layer := range suites.Layers {
		if names := t.p.Layers[layer].Suites; len(names) > 0 {
			return slices.MinFunc(names, func(a, b string) int { return cmp.Compare(a, b) }), layer
		}
	}
	return strings.ToLower(CaseBoot), suites.Smoke
}
