package orchestrator

import (
	"math/rand/v2"
	"testing"

	"github.com/headwatch/headwatch/suites"
)

// located is a world in which c005 broke a case, at c009.
func located(t *testing.T, name string) *world {
	t.Helper()
	w := newWorld(numbered(30)...)
	w.result = failFrom(5, name)
	w.sel(0, 9)
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c005" {
		t.Fatalf("%+v, want culprit c005", w.view.Regressions)
	}
	return w
}

// A case is fixed when as many cold boots have passed as its culprit took, of every
// layer.
func TestPlanConfirmsAFix(t *testing.T) {
	for _, name := range []string{"s/a", "f/c", CaseBoot} {
		w := located(t, name)
		bad := w.result
		w.result = func(build, n string, r *rand.Rand) suites.Status {
			if build >= "b20" {
				return suites.Passed
			}
			return bad(build, n, r)
		}
		w.sel(25)
		for w.step() {
			n := w.view.Tallies[TallyKey{Build: "b25", Machine: testMachine, Case: name}]
			if r := w.view.Regressions[0]; r.State == Fixed && n.Passed < confirmBoots {
				t.Fatalf("%s: fixed after %+v", name, n)
			}
		}
		if r := w.view.Regressions[0]; len(w.view.Regressions) != 1 || r.State != Fixed || r.FixedBy != "c025" {
			t.Errorf("%s: %+v, want it fixed by c025", name, w.view.Regressions)
		}
		most := confirmBoots
		if name == CaseBoot { // both suites boot, and ask at once
			most *= 2
		}
		if n := w.view.Tallies[TallyKey{Build: "b25", Machine: testMachine, Case: name}]; n.Passed > most {
			t.Errorf("%s: %d boots to confirm a fix, want at most %d", name, n.Passed, most)
		}
	}
}

// A newer commit on which the case only seems good fixes nothing, and costs a
// bounded number of runs; the next one that is good does.
func TestPlanIsNotFixedByAFlake(t *testing.T) {
	w := located(t, "s/a")
	bad, looks := w.result, 0
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		switch {
		case name != "s/a" || build >= "b25":
			return suites.Passed
		case build == "b20":
			if looks++; looks != 2 {
				return suites.Passed
			}
		}
		return bad(build, name, r)
	}
	before := w.runs
	w.sel(20)
	w.settle(t)
	if r := w.view.Regressions[0]; r.State != Located {
		t.Errorf("%+v, want it located still", r)
	}
	if cost := w.runs - before; cost > 2*confirmBoots {
		t.Errorf("%d runs for a flake", cost)
	}
	w.sel(29)
	w.settle(t)
	if r := w.view.Regressions[0]; r.State != Fixed || r.FixedBy != "c029" {
		t.Errorf("%+v, want it fixed by c029", r)
	}
}

// A commit that the rig keeps from being confirmed does not stand in the way of a
// newer one.
func TestPlanFixBehindABrokenRig(t *testing.T) {
	w := located(t, "s/a")
	looks := 0
	w.result = func(build, _ string, _ *rand.Rand) suites.Status {
		if build == "b20" {
			if looks++; looks > 3 { // boot and two cases of the first run
				return suites.Broken
			}
		}
		return suites.Passed
	}
	w.sel(20)
	w.settle(t)
	if r := w.view.Regressions[0]; r.State != Located {
		t.Errorf("%+v, want it located still", r)
	}
	w.sel(25)
	w.settle(t)
	if r := w.view.Regressions[0]; r.State != Fixed || r.FixedBy != "c025" {
		t.Errorf("%+v, want it fixed by c025", r)
	}
}

// What compiles again is fixed: compilers do not flake.
func TestPlanBuildIsFixedByOneBuild(t *testing.T) {
	w := newWorld(numbered(10)...)
	w.outcome = func(b string, _ *rand.Rand) suites.Status {
		if b >= "b3" && b <= "b5" {
			return suites.Failed
		}
		return suites.Passed
	}
	w.sel(0, 5)
	w.settle(t)
	before := w.runs
	w.sel(8)
	w.settle(t)
	if r := w.view.Regressions[0]; r.State != Fixed || r.FixedBy != "c008" || r.Culprit != "c003" {
		t.Errorf("%+v, want c003 fixed by c008", r)
	}
	if cost := w.runs - before; cost != 2 {
		t.Errorf("%d runs, want one in each layer", cost)
	}
}
