package orchestrator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// world is an upstream whose truth is known. It carries out decisions as store
// and workers would.
type world struct {
	view    View
	planner Planner
	outcome func(build string, r *rand.Rand) suites.Status       // of the build
	result  func(build, name string, r *rand.Rand) suites.Status // of a case in a run
	image   func(build string) string                            // that a build makes
	rand    *rand.Rand

	parts       []string // results of suite f that are no case of it
	hasPart     func(build string) bool
	incremental bool            // builds use objects of earlier ones, unless asked not to
	clean       map[string]bool // builds of which a clean one was made
	builds      int
	runs        int
	order       []string // kind and build of the jobs that were carried out
	done        map[string]bool
}

const (
	testUpstream = "up"
	testTarget   = "linux"
	testMachine  = "small"
)

func newWorld(builds ...string) *world {
	w := &world{
		view: View{
			Upstream: testUpstream, Target: testTarget, Rig: Rig{Salt: "salt", Digest: "0123456789ab"},
			Inputs: map[string]string{}, Selected: map[string]Selection{}, Stale: map[string]bool{}, Builds: map[string]Build{},
			BuildTries: map[string]Tries{}, Tallies: map[TallyKey]verdict.Counts{}, Runs: map[RunKey]RunCounts{},
		},
		planner: Planner{
			Cells:  []pipeline.Cell{{Upstream: testUpstream, Target: testTarget, Machine: testMachine, Layers: []suites.Layer{suites.Smoke, suites.Functional}}},
			Layers: map[suites.Layer]pipeline.Layer{suites.Smoke: {Suites: []string{"s"}, Repeat: 1}, suites.Functional: {Suites: []string{"f"}, Repeat: 1}},
			Suites: []suites.Suite{
				{Name: "s", Cases: []suites.Case{{Name: "a", Layer: suites.Smoke}, {Name: "b", Layer: suites.Smoke}}},
				{Name: "f", Cases: []suites.Case{{Name: "c", Layer: suites.Functional}}},
			},
		},
		outcome: func(string, *rand.Rand) suites.Status { return suites.Passed },
		result:  func(string, string, *rand.Rand) suites.Status { return suites.Passed },
		image:   func(build string) string { return "sha256:" + build },
		clean:   map[string]bool{},
		rand:    rand.New(rand.NewPCG(1, 2)),
		done:    map[string]bool{},
	}
	for i, b := range builds {
		c := Commit{Hash: fmt.Sprintf("c%03d", i), Position: i + 1}
		w.view.Line = append(w.view.Line, c)
		w.view.Inputs[c.Hash] = b
	}
	return w
}

func (w *world) sel(indexes ...int) {
	for _, i := range indexes {
		c := w.view.Line[i].Hash
		w.view.Selected[c] = Selection{Commit: c, Target: testTarget, Reason: ByHand}
	}
}

// changeRig is what the store shows after the rig has changed: every commit has
// other inputs, and nothing of them is known.
func (w *world) changeRig() {
	w.view.Rig = Rig{Salt: "pepper", Digest: "ba9876543210"}
	for c := range w.view.Selected {
		w.view.Stale[c] = true
	}
	clear(w.view.Selected)
	for c, b := range w.view.Inputs {
		w.view.Inputs[c] = b + "'"
	}
	clear(w.view.Tallies)
	clear(w.view.Runs)
}

// settle plans and carries out until nothing is left.
func (w *world) settle(t interface{ Fatalf(string, ...any) }) {
	for range 2000 {
		if !w.step() {
			return
		}
	}
	t.Fatalf("planning did not settle")
}

// pass is what the store shows when a new pass has begun: what it selects anew gets
// new tries.
func (w *world) pass() {
	for _, s := range w.planner.Again(w.view.Merged()) {
		old := w.view.Selected[s.Commit]
		s.Reason, s.Upto = old.Reason, wider(old.Upto, s.Upto)
		w.view.Selected[s.Commit] = s
		id := w.view.Inputs[s.Commit]
		n := w.view.BuildTries[id]
		n.Futile = 0
		w.view.BuildTries[id] = n
		for k, n := range w.view.Runs {
			if k.Build == id {
				n.Recent = 0
				w.view.Runs[k] = n
			}
		}
	}
}

// step plans once and carries out the plan; false when nothing was left to do.
func (w *world) step() bool {
	d := w.planner.Plan(w.view.Merged())
	worked := w.apply(d)
	for _, j := range d.Jobs {
		if w.done[j.ID] {
			continue
		}
		worked = true
		w.done[j.ID] = true
		w.order = append(w.order, string(j.Kind)+" "+j.Build)
		w.carryOut(j)
	}
	return worked
}

// apply stores a decision and says whether it selected something new.
func (w *world) apply(d Decision) (news bool) {
	for _, s := range d.Select {
		old, ok := w.view.Selected[s.Commit]
		if ok {
			s.Reason, s.Upto = old.Reason, wider(old.Upto, s.Upto)
		}
		news = news || s != old
		w.view.Selected[s.Commit] = s
	}
	for _, r := range d.Regressions {
		if r.ID == 0 {
			r.ID = int64(len(w.view.Regressions) + 1)
			w.view.Regressions = append(w.view.Regressions, r)
			continue
		}
		w.view.Regressions[r.ID-1] = r
	}
	return news
}

func (w *world) carryOut(j Job) {
	if own := w.view.Inputs[j.Commit]; j.Kind == BuildJob && own != j.Build {
		panic(fmt.Sprintf("%s: commit %s has build %s, the job says %s", j.ID, j.Commit, own, j.Build))
	}
	if j.Kind == BuildJob {
		w.builds++
		w.clean[j.Build] = w.clean[j.Build] || j.Clean
		b := Build{ID: j.Build, Commit: j.Commit, Target: j.Target, Status: w.outcome(j.Build, w.rand), Image: w.image(j.Build), Incremental: w.incremental && !j.Clean}
		if b.Status != suites.Passed {
			b.Image = ""
		}
		old, made := w.view.Builds[j.Build]
		if made && j.Clean && b.Status == suites.Broken {
			b = old // a clean build that broke proves nothing
		}
		if made && old.Image != b.Image {
			w.forget(j.Build)
		}
		n := w.view.BuildTries[j.Build]
		n.Done++
		n.Futile++
		if j.Clean {
			n.Clean++
		}
		if b.Status == suites.Passed || b.Status == suites.Failed {
			n.Futile = 0
		}
		w.view.BuildTries[j.Build] = n
		w.view.Builds[j.Build] = b
		return
	}
	w.runs++
	key := RunKey{Build: j.Build, Machine: j.Machine, Suite: j.Suite, Layer: j.Layer}
	n := w.view.Runs[key]
	if w.view.Builds[j.Build].Image != j.Image {
		n.Dropped++ // it is about an image that the build no longer has
		w.view.Runs[key] = n
		return
	}
	n.Planned++
	n.Finished++
	var all []suites.Status
	boot := w.result(j.Build, CaseBoot, w.rand)
	names := w.planner.caseNames(j.Suite, j.Layer)
	if j.Suite == "f" && (w.hasPart == nil || w.hasPart(j.Build)) {
		names = append(names, w.parts...)
	}
	for _, name := range names {
		if boot == suites.Broken {
			break // Execution.Do records nothing of a run that the rig broke
		}
		s := w.result(j.Build, name, w.rand)
		if name == CaseBoot {
			s = boot
		} else if boot == suites.Failed {
			s = suites.Skipped
		}
		all = append(all, s)
		tally := TallyKey{Build: j.Build, Machine: j.Machine, Case: name}
		c := w.view.Tallies[tally]
		switch s {
		case suites.Passed:
			c.Passed++
		case suites.Failed:
			c.Failed++
		case suites.Broken:
			c.Broken++
		case suites.Skipped:
			c.Skipped++
		}
		w.view.Tallies[tally] = c
	}
	if suites.Summarize(all) == suites.Broken {
		n.Broken++
		n.Recent++
	}
	w.view.Runs[key] = n
}

// forget is what the store does with the evidence about an image that a build no
// longer has.
func (w *world) forget(build string) {
	for k := range w.view.Tallies {
		if k.Build == build {
			delete(w.view.Tallies, k)
		}
	}
	for k, n := range w.view.Runs {
		if k.Build == build {
			w.view.Runs[k] = RunCounts{Dropped: n.Planned + n.Dropped}
		}
	}
}

func failFrom(culprit int, name string) func(string, string, *rand.Rand) suites.Status {
	return func(build, n string, _ *rand.Rand) suites.Status {
		var at int
		fmt.Sscanf(build, "b%d", &at)
		if n == name && at >= culprit {
			return suites.Failed
		}
		return suites.Passed
	}
}

func numbered(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("b%d", i))
	}
	return out
}

func TestPlanLocatesCulprit(t *testing.T) {
	for _, name := range []string{"s/a", "f/c", CaseBoot} {
		w := newWorld(numbered(40)...)
		w.result = failFrom(17, name)
		w.sel(0)
		w.settle(t)
		w.sel(39)
		w.settle(t)
		if len(w.view.Regressions) != 1 {
			t.Fatalf("%s: regressions %+v, want one", name, w.view.Regressions)
		}
		r := w.view.Regressions[0]
		if r.State != Located || r.Culprit != "c017" || r.Good != "c016" || r.Case != name {
			t.Errorf("%s: %+v, want culprit c017", name, r)
		}
		if r.Confidence < .95 {
			t.Errorf("%s: confidence %v after %d boots each", name, r.Confidence, confirmBoots)
		}
		if w.builds > 10 {
			t.Errorf("%s: %d builds for 40 commits", name, w.builds)
		}
		n := w.view.Tallies[TallyKey{Build: "b16", Machine: testMachine, Case: name}]
		if n.Passed < confirmBoots {
			t.Errorf("%s: the parent was confirmed by %d boots only", name, n.Passed)
		}
	}
}

func TestPlanBuildFailureIsARegressionOfItsOwn(t *testing.T) {
	w := newWorld(numbered(10)...)
	w.outcome = func(b string, _ *rand.Rand) suites.Status {
		if b >= "b6" {
			return suites.Failed
		}
		return suites.Passed
	}
	w.sel(0, 9)
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Case != CaseBuild || w.view.Regressions[0].Culprit != "c006" {
		t.Fatalf("got %+v, want case build located at c006 and nothing else", w.view.Regressions)
	}
}

func TestPlanUnbuildableBlockGivesARange(t *testing.T) {
	w := newWorld(numbered(6)...)
	w.outcome = func(b string, _ *rand.Rand) suites.Status {
		if b == "b2" || b == "b3" {
			return suites.Broken
		}
		return suites.Passed
	}
	w.result = failFrom(3, "s/a")
	w.sel(0, 5)
	w.settle(t)
	r := w.view.Regressions[0]
	if r.State != Ranged || r.Good != "c001" || r.Bad != "c004" || r.Culprit != "" {
		t.Errorf("%+v, want the range c001..c004 and nobody accused", r)
	}
	if w.view.BuildTries["b2"].Futile > buildTries {
		t.Errorf("a build that the rig breaks was tried %d times", w.view.BuildTries["b2"].Futile)
	}
}

func TestPlanGatesLayers(t *testing.T) {
	w := newWorld("b0")
	w.result = failFrom(0, "s/b")
	w.sel(0)
	w.settle(t)
	for key := range w.view.Runs {
		if key.Layer != suites.Smoke {
			t.Errorf("%+v ran although the layer below failed", key)
		}
	}
	if n := w.view.Runs[RunKey{"b0", testMachine, "s", suites.Smoke}]; n.Finished != 2 {
		t.Errorf("a failure was looked at %d times, want 2", n.Finished)
	}
}

func TestPlanBadAtTheFirstLook(t *testing.T) {
	w := newWorld("b0", "b1", "b2")
	w.result = failFrom(0, "s/b")
	w.sel(1)
	w.settle(t)
	w.sel(2)
	w.settle(t)
	if len(w.view.Regressions) != 1 {
		t.Fatalf("%+v, want one finding, told once", w.view.Regressions)
	}
	r := w.view.Regressions[0]
	if r.State != Ranged || r.Good != "" || r.Bad != "c001" || r.Culprit != "" {
		t.Errorf("%+v, want bad at c001, nothing good before, and nobody accused", r)
	}
}

func TestPlanSharesEqualBuilds(t *testing.T) {
	w := newWorld("b0", "b0", "b1", "b1", "b0")
	w.planner.Every = map[string]bool{testUpstream: true}
	w.settle(t)
	if w.builds != 2 || w.runs != 4 {
		t.Errorf("%d builds and %d runs for two distinct builds in two layers, want 2 and 4", w.builds, w.runs)
	}
}

func TestPlanInfraErrorsEnd(t *testing.T) {
	w := newWorld("b0", "b1")
	w.result = func(string, string, *rand.Rand) suites.Status { return suites.Broken }
	w.sel(0, 1)
	w.settle(t)
	if w.runs != 2*brokenRuns {
		t.Errorf("%d runs, want %d on each build and then no more", w.runs, brokenRuns)
	}
	if len(w.view.Regressions) != 0 {
		t.Errorf("infra errors accused somebody: %+v", w.view.Regressions)
	}
}

func TestPlanIsStable(t *testing.T) {
	w := newWorld(numbered(12)...)
	w.result = failFrom(5, "s/a")
	w.sel(0, 11)
	w.settle(t)
	a, b := w.planner.Plan(w.view), w.planner.Plan(w.view)
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("two plans of one view differ:\n%s", d)
	}
	if len(a.Jobs)+len(a.Select)+len(a.Regressions) != 0 {
		t.Errorf("a settled world wants %+v", a)
	}
}

// Runs end in any order: a bad commit that is judged before its good ancestors is
// not taken for one that was always bad.
func TestPlanWaitsForOlderVerdicts(t *testing.T) {
	w := newWorld(numbered(4)...)
	w.result = failFrom(2, "s/a")
	w.sel(0, 1, 2, 3)
	for _, b := range []string{"b3", "b2"} {
		w.view.Builds[b] = Build{ID: b, Target: testTarget, Status: suites.Passed}
		w.view.Tallies[TallyKey{Build: b, Machine: testMachine, Case: "s/a"}] = verdict.Counts{Failed: 2}
	}
	if d := w.planner.Plan(w.view); len(d.Regressions) != 0 {
		t.Fatalf("accused before the older commits were judged: %+v", d.Regressions)
	}
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c002" {
		t.Errorf("%+v, want culprit c002", w.view.Regressions)
	}
}

// Whatever commits share builds, wherever the culprit is and whatever cannot be
// built: nobody innocent is accused.
func TestPlanNeverAccusesTheInnocent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "commits")
		culprit := rapid.IntRange(1, n-1).Draw(t, "culprit")
		at, last := make([]string, n), 0
		for i := range at {
			if i == culprit || rapid.IntRange(0, 2).Draw(t, "changes") == 0 {
				last = i
			}
			at[i] = fmt.Sprintf("b%d", last)
		}
		unbuildable := rapid.SliceOfN(rapid.IntRange(1, n-1), 0, 5).Draw(t, "unbuildable")
		w := newWorld(at...)
		w.outcome = func(b string, _ *rand.Rand) suites.Status {
			var i int
			fmt.Sscanf(b, "b%d", &i)
			if slices.Contains(unbuildable, i) && b != at[n-1] {
				return suites.Broken
			}
			return suites.Passed
		}
		w.result = failFrom(culprit, "s/a")
		w.sel(0, n-1)
		w.settle(t)
		if len(w.view.Regressions) != 1 {
			t.Fatalf("%d regressions, want 1", len(w.view.Regressions))
		}
		r := w.view.Regressions[0]
		want := fmt.Sprintf("c%03d", culprit)
		switch r.State {
		case Located:
			if r.Culprit != want {
				t.Fatalf("accused %s, want %s", r.Culprit, want)
			}
		case Ranged:
			if r.Good >= want || r.Bad < want {
				t.Fatalf("range %s..%s does not hold %s", r.Good, r.Bad, want)
			}
		default:
			t.Fatalf("search ended as %q", r.State)
		}
	})
}

func TestBuildIDReadsEveryInput(t *testing.T) {
	base := BuildID("linux", "salt", []string{"a", "b"}, map[string]string{"a": "1", "b": "2"})
	if other := BuildID("linux", "salt", []string{"b", "a"}, map[string]string{"a": "1", "b": "2"}); other != base {
		t.Error("the order of the paths changed the digest")
	}
	for name, other := range map[string]string{
		"salt":    BuildID("linux", "pepper", []string{"a", "b"}, map[string]string{"a": "1", "b": "2"}),
		"tree":    BuildID("linux", "salt", []string{"a", "b"}, map[string]string{"a": "1", "b": "3"}),
		"missing": BuildID("linux", "salt", []string{"a", "b"}, map[string]string{"a": "1"}),
	} {
		if other == base {
			t.Errorf("a changed %s left the digest as it was", name)
		}
	}
	if len(base) != 64 || strings.ToLower(base) != base {
		t.Errorf("%q is not a hex digest", base)
	}
}

// A flake that was told of does not hide a later regression of the same case.
func TestPlanFindsARegressionAfterAFlake(t *testing.T) {
	w := newWorld("b0", "b1", "b2", "b3")
	w.sel(0, 1)
	fails := 0
	w.result = func(build, name string, _ *rand.Rand) suites.Status {
		if name != "s/a" {
			return suites.Passed
		}
		if build == "b1" && fails < 2 {
			fails++
			return suites.Failed
		}
		if build == "b2" || build == "b3" {
			return suites.Failed
		}
		return suites.Passed
	}
	w.settle(t)
	w.sel(3)
	w.settle(t)
	last := w.view.Regressions[len(w.view.Regressions)-1]
	if len(w.view.Regressions) != 2 || last.State != Ranged || last.Good != "c000" || last.Bad != "c002" {
		t.Errorf("%+v, want the flake told of, and a range around it", w.view.Regressions)
	}
}

// A probe whose runs the rig breaks is untestable: the search goes on around it
// and ends.
func TestPlanSearchesAroundABrokenProbe(t *testing.T) {
	w := newWorld(numbered(5)...)
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		if build == "b2" {
			return suites.Broken
		}
		return failFrom(3, "s/a")(build, name, r)
	}
	w.sel(0, 4)
	w.settle(t)
	r := w.view.Regressions[0]
	if r.State != Ranged || r.Good != "c001" || r.Bad != "c003" {
		t.Errorf("%+v, want the range c001..c003", r)
	}
}

func TestPlanBootsNoMachineThatLacksWhatEveryCaseNeeds(t *testing.T) {
	p := Planner{
		Machines: map[string]pipeline.Machine{
			"wired": {SMP: 1, NICs: []pipeline.NIC{{Link: "user"}, {Link: "wire"}}},
			"small": {SMP: 1, NICs: []pipeline.NIC{{Link: "user"}}},
		},
		Suites: []suites.Suite{
			{Name: "all", Cases: []suites.Case{{Name: "a", Layer: suites.Smoke, Requires: []string{"wire"}}, {Name: "b", Layer: suites.Smoke, Requires: []string{"wire", "kvm"}}}},
			{Name: "some", Cases: []suites.Case{{Name: "a", Layer: suites.Smoke, Requires: []string{"wire"}}, {Name: "b", Layer: suites.Smoke}}},
			{Name: "kvm", Cases: []suites.Case{{Name: "a", Layer: suites.Smoke, Requires: []string{"kvm"}}}}, // only a boot can tell
			{Name: "none"},
		},
	}
	for machine, idle := range map[string][]string{"wired": nil, "small": {"all"}} {
		for _, s := range p.Suites {
			if got := p.idle(machine, s.Name, suites.Smoke); got != slices.Contains(idle, s.Name) {
				t.Errorf("suite %s on %s: idle %v", s.Name, machine, got)
			}
		}
	}
}
