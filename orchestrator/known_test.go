package orchestrator

import (
	"math/rand/v2"
	"testing"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// knownWorld is a line of ten builds on which s/b fails from the third on until a build;
// the list knows of it.
func knownWorld(until string) *world {
	w := newWorld("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9")
	w.planner.Known = []verdict.KnownFailure{{Case: "s/b", Reason: "it fails"}}
	w.result = func(build, name string, _ *rand.Rand) suites.Status {
		if name == "s/b" && build >= "b2" && build < until {
			return suites.Failed
		}
		return suites.Passed
	}
	return w
}

// tell does what planning wants of a commit, and keeps what became of the list as the
// store would.
func (w *world) tell(t *testing.T, commits ...int) Known {
	t.Helper()
	for _, i := range commits {
		w.sel(i)
		w.settle(t)
		w.view.Known = w.planner.Plan(w.view.Merged()).Known
	}
	for _, k := range w.view.Known {
		if k.Case == "s/b" {
			return k
		}
	}
	t.Fatal("nothing is known of s/b")
	return Known{}
}

func TestKnownFailureAccusesNobody(t *testing.T) {
	w := knownWorld("b9")
	if k := w.tell(t, 2, 4); k.State != verdict.Expected || k.Since != 3 {
		t.Errorf("%+v, want it expected from the third commit on", k)
	}
	if len(w.view.Regressions) > 0 {
		t.Errorf("an expected failure opened %+v", w.view.Regressions)
	}
	if n := w.view.Tallies[TallyKey{Build: "b4", Machine: testMachine, Case: "s/b"}]; n.Failed != 1 {
		t.Errorf("an expected failure was repeated: %+v", n)
	}
	if n := w.view.Tallies[TallyKey{Build: "b4", Machine: testMachine, Case: "f/c"}]; n.Passed == 0 {
		t.Error("an expected failure kept the layer above from being tested")
	}
}

func TestKnownFailureLapses(t *testing.T) {
	w := knownWorld("b3")
	w.planner.Layers[suites.Smoke] = pipeline.Layer{Suites: []string{"s"}, Repeat: 6}
	if k := w.tell(t, 2, 3); k.State != verdict.Lapsed || k.Lapsed != 4 {
		t.Fatalf("%+v, want it lapsed at the fourth commit: it passed six times in a row", k)
	}
	// It comes back: nothing excuses it any more.
	w.result = func(build, name string, _ *rand.Rand) suites.Status {
		if name == "s/b" && build >= "b6" {
			return suites.Failed
		}
		return suites.Passed
	}
	if k := w.tell(t, 8); k.State != verdict.Lapsed {
		t.Errorf("%+v, want it to stay lapsed", k)
	}
	found := false
	for _, r := range w.view.Regressions {
		found = found || r.Case == "s/b" && r.State == Located && r.Culprit == w.view.Line[6].Hash
	}
	if !found {
		t.Errorf("the failure after it had lapsed is no regression: %+v", w.view.Regressions)
	}
}

func TestKnownFailureVanishes(t *testing.T) {
	w := knownWorld("b9")
	w.tell(t, 2)
	w.planner.Suites[0].Cases = w.planner.Suites[0].Cases[:1] // s/b is gone
	if k := w.tell(t, 4); k.State != verdict.VanishedCase {
		t.Errorf("%+v, want it vanished", k)
	}
	w.planner.Known = nil
	if known := w.planner.Plan(w.view).Known; known == nil || len(known) > 0 {
		t.Errorf("%+v is known without a list, want nothing, and not unlooked at", known)
	}
}
