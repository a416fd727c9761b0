package orchestrator

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// flaky lets a case of some builds fail at its first looks, and then pass.
func flaky(name string, failures int, builds ...string) func(string, string, *rand.Rand) suites.Status {
	left := map[string]int{}
	for _, b := range builds {
		left[b] = failures
	}
	return func(build, n string, _ *rand.Rand) suites.Status {
		if n == name && left[build] > 0 {
			left[build]--
			return suites.Failed
		}
		return suites.Passed
	}
}

// Two failures that further boots do not bear out are told of with what was seen,
// and accuse nobody.
func TestPlanTellsOfAFlake(t *testing.T) {
	w := newWorld("b0", "b1")
	w.result = flaky("s/a", 2, "b1")
	w.sel(0, 1)
	w.settle(t)
	if len(w.view.Regressions) != 1 {
		t.Fatalf("%+v, want one finding", w.view.Regressions)
	}
	r := w.view.Regressions[0]
	if r.State != Ranged || r.Culprit != "" || r.Good != "c000" || r.Bad != "c001" {
		t.Errorf("%+v, want the range c000..c001 and nobody accused", r)
	}
	if note := w.view.flakes(r); note != "flaky: 5 passed and 0 failed at c000, 3 passed and 2 failed at c001" {
		t.Errorf("note %q", note)
	}
}

// A flake that is known is not told of again, while it stays one.
func TestPlanTellsOfAFlakeOnce(t *testing.T) {
	w := newWorld(numbered(10)...)
	w.result = flaky("s/a", 2, numbered(10)[3:]...)
	w.sel(0)
	w.settle(t)
	for _, i := range []int{3, 6, 9} {
		w.sel(i)
		w.settle(t)
	}
	var standing []Regression
	for _, r := range w.view.Regressions {
		switch r.State {
		case Withdrawn:
		case Ranged:
			standing = append(standing, r)
		default:
			t.Errorf("%+v is neither told nor withdrawn", r)
		}
	}
	if len(standing) != 1 {
		t.Errorf("told of %+v, want the flake once", standing)
	}
}

func TestFlakesNote(t *testing.T) {
	w := newWorld("b0", "b1", "b2", "b3", "b4", "b5")
	tell := func(build string, passed, failed int) {
		w.view.Tallies[TallyKey{Build: build, Machine: testMachine, Case: "s/a"}] = verdict.Counts{Passed: passed, Failed: failed}
	}
	tell("b0", 5, 0)
	tell("b5", 0, 5)
	r := Regression{Machine: testMachine, Case: "s/a", Good: "c000", Bad: "c005"}
	if note := w.view.flakes(r); note != "" {
		t.Errorf("nothing went both ways: %q", note)
	}
	for _, b := range []string{"b1", "b2", "b3", "b4"} {
		tell(b, 3, 2)
	}
	note := w.view.flakes(r)
	if !strings.HasPrefix(note, "flaky: 5 passed and 0 failed at c000, 3 passed and 2 failed at c001, ") ||
		!strings.HasSuffix(note, "c003, 0 passed and 5 failed at c005") {
		t.Errorf("note %q, want both ends and %d between", note, maxFlakes)
	}
	r.Good = ""
	if note := w.view.flakes(r); note != "" {
		t.Errorf("without a good end there is nothing between: %q", note)
	}
	r.Bad = "gone"
	if note := w.view.flakes(r); note != "" {
		t.Errorf("a commit that left the line: %q", note)
	}
}

// A case above a layer whose cases go both ways is not run there: the search goes
// around such a commit, and ends.
func TestPlanUpperLayerBehindAFlakyLowerOne(t *testing.T) {
	w := newWorld(numbered(7)...)
	lower := flaky("s/b", 1, "b3")
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		if name == "s/b" {
			return lower(build, name, r)
		}
		return failFrom(4, "f/c")(build, name, r)
	}
	w.sel(0, 6)
	w.settle(t)
	for _, r := range w.view.Regressions {
		if r.State == Suspected {
			t.Errorf("still searched: %+v", r)
		}
		if r.Case == "f/c" && (r.State != Ranged || r.Good != "c002" || r.Bad != "c004") {
			t.Errorf("%+v, want the range c002..c004", r)
		}
	}
}
