package orchestrator

import (
	"math/rand/v2"
	"testing"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// A change of the rig that makes a case fail is no commit's fault: the newest
// commit that was tested before is looked at again, and nobody is accused.
func TestPlanRigChangeAccusesNobody(t *testing.T) {
	w := newWorld(numbered(30)...)
	w.sel(0, 10, 20)
	w.settle(t)
	w.changeRig()
	w.result = failFrom(0, "s/a") // everywhere, with the new rig
	w.sel(29)
	w.settle(t)
	if len(w.view.Regressions) != 1 {
		t.Fatalf("%+v, want one finding", w.view.Regressions)
	}
	r := w.view.Regressions[0]
	if r.State != Ranged || r.Good != "" || r.Bad != "c020" || r.Culprit != "" {
		t.Errorf("%+v, want bad when first looked at (c020), and nobody accused", r)
	}
}

// What broke beside a change of the rig is still found, against the baseline.
func TestPlanFindsACulpritAcrossARigChange(t *testing.T) {
	w := newWorld(numbered(30)...)
	w.sel(0, 10, 20)
	w.settle(t)
	w.changeRig()
	w.result = failFrom(25, "s/a")
	w.sel(29)
	before := w.builds
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c025" {
		t.Fatalf("%+v, want culprit c025", w.view.Regressions)
	}
	if w.builds-before > 7 {
		t.Errorf("%d builds after the change: old commits were built again", w.builds-before)
	}
}

// A search that the change interrupts looks at its ends again and goes on.
func TestPlanGoesOnSearchingAfterARigChange(t *testing.T) {
	w := newWorld(numbered(30)...)
	w.result = failFrom(17, "s/a")
	w.sel(0, 29)
	for i := 0; len(w.view.Regressions) == 0; i++ {
		if i > 20 {
			t.Fatal("nothing was suspected")
		}
		w.step()
	}
	w.changeRig()
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c017" {
		t.Errorf("%+v, want culprit c017", w.view.Regressions)
	}
}

// A located regression is not found again by another rig, and is over when a
// newer commit is good.
func TestPlanKnownRegressionAndItsFix(t *testing.T) {
	w := newWorld(numbered(30)...)
	w.result = failFrom(5, "s/a")
	w.sel(0, 9)
	w.settle(t)
	w.changeRig()
	w.sel(15)
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].State != Located {
		t.Fatalf("%+v, want what was located before and nothing else", w.view.Regressions)
	}
	bad := w.result
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		if build >= "b20" {
			return suites.Passed
		}
		return bad(build, name, r)
	}
	w.sel(25)
	w.settle(t)
	r := w.view.Regressions[0]
	if len(w.view.Regressions) != 1 || r.State != Fixed || r.FixedBy != "c025" || r.Culprit != "c005" {
		t.Errorf("%+v, want it fixed by c025", w.view.Regressions)
	}
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		if build >= "b28" {
			return failFrom(0, "s/a")(build, name, r)
		}
		return suites.Passed
	}
	w.sel(29)
	w.settle(t)
	if last := w.view.Regressions[len(w.view.Regressions)-1]; len(w.view.Regressions) != 2 || last.Culprit != "c028" {
		t.Errorf("%+v, want a second regression, by c028", w.view.Regressions)
	}
}

func TestRigReadsEverythingButTheCommit(t *testing.T) {
	p := newWorld("b0").planner
	p.Machines = map[string]pipeline.Machine{testMachine: {Name: testMachine, SMP: 2, Memory: 512}}
	base := p.Rig(testUpstream, testTarget, "salt", "QEMU 7.2")
	if base != p.Rig(testUpstream, testTarget, "salt", "QEMU 7.2") {
		t.Error("the same rig has two digests")
	}
	different := map[string]Rig{"salt": p.Rig(testUpstream, testTarget, "pepper", "QEMU 7.2"), "monitor": p.Rig(testUpstream, testTarget, "salt", "QEMU 8.0")}
	p.Machines = map[string]pipeline.Machine{testMachine: {Name: testMachine, SMP: 2, Memory: 256}}
	different["memory"] = p.Rig(testUpstream, testTarget, "salt", "QEMU 7.2")
	p.Machines[testMachine] = pipeline.Machine{Name: testMachine, SMP: 2, Memory: 512}
	p.Suites[1].Version++
	different["suite's version"] = p.Rig(testUpstream, testTarget, "salt", "QEMU 7.2")
	p.Suites[1].Version--
	p.Suites[0].Cases = p.Suites[0].Cases[:1]
	different["suite's cases"] = p.Rig(testUpstream, testTarget, "salt", "QEMU 7.2")
	for what, rig := range different {
		if rig.Digest == base.Digest {
			t.Errorf("another %s is the same rig", what)
		}
	}
	if len(base.Digest) != 12 {
		t.Errorf("digest %q has not 12 digits", base.Digest)
	}
}

// A case above a layer that fails is untestable there: the search ends, with a
// range, and the layer below has a regression of its own.
func TestPlanUpperLayerBehindABrokenLowerOne(t *testing.T) {
	w := newWorld(numbered(10)...)
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		if name == "s/b" && build >= "b3" && build <= "b5" {
			return suites.Failed
		}
		return failFrom(4, "f/c")(build, name, r)
	}
	w.sel(0, 4, 9)
	w.settle(t)
	var upper Regression
	for _, r := range w.view.Regressions {
		if r.State == Suspected {
			t.Errorf("still searched: %+v", r)
		}
		if r.Case == "f/c" {
			upper = r
		}
	}
	if upper.State != Ranged || upper.Good != "c002" || upper.Bad != "c006" {
		t.Errorf("%+v, want the range c002..c006 and nobody accused", upper)
	}
}

// A confirmation whose case is often skipped or broken asks for as many runs as it
// may, and then says a range.
func TestPlanConfirmationEnds(t *testing.T) {
	for _, told := range []float64{0, .5} {
		w := newWorld(numbered(6)...)
		n := 0
		w.result = func(build, name string, r *rand.Rand) suites.Status {
			if n++; name == "s/a" && n > 40 && r.Float64() >= told {
				return suites.Skipped
			}
			return failFrom(3, "s/a")(build, name, r)
		}
		w.sel(0, 5)
		w.settle(t)
		r := w.view.Regressions[0]
		if r.State == Suspected {
			t.Errorf("told %v of the time: still open: %+v", told, r)
		}
		if r.State == Located && (r.Culprit != "c003" || r.Confidence < accuseAt) {
			t.Errorf("told %v of the time: accused %+v", told, r)
		}
	}
}

// A pass gives what the rig broke new tries.
func TestPlanTriesAgainAtTheNextPass(t *testing.T) {
	w := newWorld("b0")
	w.outcome = func(string, *rand.Rand) suites.Status { return suites.Broken }
	w.sel(0)
	w.settle(t)
	if w.builds != buildTries {
		t.Fatalf("%d builds, want %d", w.builds, buildTries)
	}
	w.outcome = func(string, *rand.Rand) suites.Status { return suites.Passed }
	n := w.view.BuildTries["b0"]
	n.Futile = 0 // the store counts from the last selection
	w.view.BuildTries["b0"] = n
	w.settle(t)
	if b := w.view.Builds["b0"]; b.Status != suites.Passed {
		t.Errorf("the build is %v", b.Status)
	}
}

// A selection up to a layer is tested that far, and a wider one farther.
func TestPlanSelectsLayers(t *testing.T) {
	w := newWorld("b0")
	c := w.view.Line[0].Hash
	w.view.Selected[c] = Selection{Commit: c, Target: testTarget, Reason: ByNewest, Upto: suites.Smoke}
	w.settle(t)
	if w.runs != 1 {
		t.Errorf("%d runs, want the smoke layer's one", w.runs)
	}
	w.view.Selected[c] = Selection{Commit: c, Target: testTarget, Reason: ByNewest}
	w.settle(t)
	if w.runs != 2 {
		t.Errorf("%d runs, want one of each layer", w.runs)
	}
}

// A commit that cannot be had is untestable at once, and the search goes around it.
func TestPlanGoesAroundWhatCannotBeHad(t *testing.T) {
	w := newWorld(numbered(9)...)
	w.outcome = func(b string, _ *rand.Rand) suites.Status {
		if b == "b4" {
			return suites.Skipped
		}
		return suites.Passed
	}
	w.result = failFrom(6, "s/a")
	w.sel(0, 8)
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c006" {
		t.Errorf("%+v, want culprit c006", w.view.Regressions)
	}
	if n := w.view.BuildTries["b4"]; n.Done != 1 {
		t.Errorf("tried %d times, want once", n.Done)
	}
}

// A part of a foreign suite, which no list of cases names, is looked at twice and
// bisected like any case.
func TestPlanFollowsPartsOfASuite(t *testing.T) {
	w := newWorld(numbered(12)...)
	w.parts = []string{"f/sys/netinet/tcp:rst"}
	w.result = failFrom(7, w.parts[0])
	w.sel(0, 11)
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c007" || w.view.Regressions[0].Case != w.parts[0] {
		t.Errorf("%+v, want culprit c007 of the part", w.view.Regressions)
	}
}

// A part that a build does not have is not waited for, and untestable there.
func TestPlanPartsThatComeAndGo(t *testing.T) {
	w := newWorld(numbered(8)...)
	w.parts = []string{"f/new"}
	w.hasPart = func(build string) bool { return build >= "b3" }
	w.result = failFrom(5, "f/new")
	w.sel(0, 3, 7)
	w.settle(t)
	if w.runs > 60 {
		t.Errorf("%d runs: a part was waited for that is not there", w.runs)
	}
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c005" {
		t.Errorf("%+v, want culprit c005", w.view.Regressions)
	}
}

// One failure and then nothing but infra errors: the probe is untestable, and the
// search ends.
func TestPlanProbeThatBreaksAfterAFailure(t *testing.T) {
	w := newWorld(numbered(5)...)
	looks := 0
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		if build == "b2" {
			if name == CaseBoot {
				looks++
			}
			if looks > 1 {
				return suites.Broken
			}
			return suites.Failed
		}
		return failFrom(3, "s/a")(build, name, r)
	}
	w.sel(0, 4)
	w.settle(t)
	for _, r := range w.view.Regressions {
		if r.State == Suspected {
			t.Errorf("still searched: %+v", r)
		}
	}
}

// The clean build of an end whose image is another commit's is asked of that one.
func TestPlanCleanBuildOfAnEqualImage(t *testing.T) {
	w := newWorld(numbered(8)...)
	w.incremental = true
	w.image = func(build string) string {
		if build == "b4" {
			build = "b3" // a comment
		}
		return "sha256:" + build
	}
	w.result = failFrom(5, "s/a")
	w.sel(0, 3, 7)
	w.settle(t) // carryOut refuses a job whose build is not its commit's
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c005" {
		t.Errorf("%+v, want culprit c005", w.view.Regressions)
	}
}
