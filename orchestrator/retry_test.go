package orchestrator

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/suites"
)

// broken lets the rig break some builds.
func (w *world) broken(builds ...string) {
	w.outcome = func(b string, _ *rand.Rand) suites.Status {
		if slices.Contains(builds, b) {
			return suites.Broken
		}
		return suites.Passed
	}
}

// A probe whose build breaks is tried again when all the rest of the search is done.
func TestPlanTriesABrokenBuildLast(t *testing.T) {
	w := newWorld(numbered(9)...)
	w.broken("b4")
	w.result = failFrom(6, "s/a")
	w.sel(0, 8)
	w.settle(t)
	first, last, other := -1, -1, -1
	for i, job := range w.order {
		switch {
		case job != "build b4":
			other = i
		case first < 0:
			first = i
		case last < 0:
			last = i
		}
	}
	if first < 0 || first > other || last < other {
		t.Errorf("tried at %d, again at %d, and the last other job at %d: %v", first, last, other, w.order)
	}
	if n := w.view.BuildTries["b4"].Done; n != buildTries {
		t.Errorf("tried %d times, want %d", n, buildTries)
	}
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c006" {
		t.Errorf("%+v, want culprit c006", w.view.Regressions)
	}
}

// Nothing is tried twice before everything was tried as often.
func TestPlanTakesTurnsAmongBrokenBuilds(t *testing.T) {
	w := newWorld(numbered(4)...)
	w.broken("b1", "b2", "b3")
	w.sel(0, 1, 2, 3)
	w.settle(t)
	var again []string
	for _, job := range w.order[slices.Index(w.order, "run b0"):] {
		if job != "run b0" {
			again = append(again, job)
		}
	}
	want := []string{"build b1", "build b2", "build b3", "build b1", "build b2", "build b3"}
	if d := cmp.Diff(want, again); d != "" {
		t.Errorf("tries after the first (-want +got):\n%s", d)
	}
}

// While runs are under way, nothing is tried again.
func TestPlanWaitsBeforeItTriesAgain(t *testing.T) {
	w := newWorld("b0", "b1")
	w.sel(0, 1)
	w.view.Builds["b0"] = Build{ID: "b0", Target: testTarget, Status: suites.Passed, Image: "sha256:b0"}
	w.view.Builds["b1"] = Build{ID: "b1", Target: testTarget, Status: suites.Broken}
	w.view.BuildTries["b1"] = Tries{Done: 1, Futile: 1}
	if jobs := w.planner.Plan(w.view).Jobs; len(jobs) != 1 || jobs[0].Kind != RunJob {
		t.Fatalf("%+v, want the run only", jobs)
	}
	key := RunKey{"b0", testMachine, "s", suites.Smoke}
	w.view.Runs[key] = RunCounts{Planned: 1}
	if jobs := w.planner.Plan(w.view).Jobs; len(jobs) != 0 {
		t.Fatalf("%+v while a run is under way", jobs)
	}
	w.view.Runs[key] = RunCounts{Planned: 1, Finished: 1, Broken: 1, Recent: 3}
	if jobs := w.planner.Plan(w.view).Jobs; len(jobs) != 1 || jobs[0].Build != "b1" {
		t.Fatalf("%+v, want the build again", jobs)
	}
}

// What a search asked for is not selected again by planning, however often it plans:
// that would give new tries without end.
func TestPlanSelectsOnce(t *testing.T) {
	w := newWorld(numbered(20)...)
	w.broken("b10", "b11")
	w.result = failFrom(11, "s/a")
	w.sel(0, 19)
	asked := map[string]bool{}
	for range 200 {
		for _, s := range w.planner.Plan(w.view.Merged()).Select {
			if asked[s.Commit] {
				t.Fatalf("%s was selected twice", s.Commit)
			}
			asked[s.Commit] = true
		}
		if !w.step() {
			return
		}
	}
	t.Fatal("planning did not settle")
}

// A search that ended with a range goes on at a later pass, when the rig is mended,
// until the culprit is known; in between the range holds it and never grows. A pass
// at which nothing was mended costs a bounded number of tries and changes nothing.
func TestPlanReopensARange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 30).Draw(t, "commits")
		culprit := rapid.IntRange(1, n-1).Draw(t, "culprit")
		faults := map[string]suites.Status{}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(1, n-2), 0, n-2, rapid.ID).Draw(t, "faults") {
			faults[fmt.Sprintf("b%d", i)] = rapid.SampledFrom([]suites.Status{suites.Broken, suites.Skipped, suites.Passed}).Draw(t, "how")
		}
		w := newWorld(numbered(n)...)
		w.outcome = func(b string, _ *rand.Rand) suites.Status {
			if s, faulty := faults[b]; faulty {
				return s
			}
			return suites.Passed
		}
		w.result = func(build, name string, r *rand.Rand) suites.Status {
			if s, faulty := faults[build]; faulty && s == suites.Passed {
				return suites.Broken // it is made, and then the rig breaks its runs
			}
			return failFrom(culprit, "s/a")(build, name, r)
		}
		w.sel(0, n-1)
		w.settle(t)
		for pass := 0; ; pass++ {
			if len(w.view.Regressions) != 1 {
				t.Fatalf("pass %d: %d regressions, want 1", pass, len(w.view.Regressions))
			}
			before, done := w.view.Regressions[0], w.builds+w.runs
			want := fmt.Sprintf("c%03d", culprit)
			if before.State == Located {
				if before.Culprit != want {
					t.Fatalf("pass %d: accused %s, want %s", pass, before.Culprit, want)
				}
				return
			}
			if before.State != Ranged || before.Good >= want || before.Bad < want {
				t.Fatalf("pass %d: %+v, want a range around %s", pass, before, want)
			}
			hopeless := true
			for i, c := range w.view.Line {
				_, faulty := faults[fmt.Sprintf("b%d", i)]
				hopeless = hopeless && (faulty || c.Hash <= before.Good || c.Hash >= before.Bad)
			}
			w.pass()
			w.settle(t)
			if d := cmp.Diff([]Regression{before}, w.view.Regressions); hopeless && d != "" {
				t.Fatalf("pass %d: nothing was mended:\n%s", pass, d)
			}
			if cost := w.builds + w.runs - done; hopeless && cost > againAtAPass*buildTries {
				t.Fatalf("pass %d: %d builds and runs for nothing", pass, cost)
			}
			if pass > 2*n {
				t.Fatalf("still %+v although all was mended", before)
			}
			for _, b := range slices.Sorted(maps.Keys(faults)) {
				if pass > n || rapid.IntRange(0, 3).Draw(t, "mend "+b) == 0 {
					delete(faults, b)
				}
			}
			w.pass()
			w.settle(t)
			if after := w.view.Regressions[0]; after.Good < before.Good || after.Bad > before.Bad {
				t.Fatalf("pass %d: %s..%s grew to %s..%s", pass, before.Good, before.Bad, after.Good, after.Bad)
			}
		}
	})
}

// Another rig may test what the last one could not: a range is looked at again once.
func TestPlanLooksAtARangeWithAnotherRig(t *testing.T) {
	w := newWorld(numbered(12)...)
	w.broken("b5", "b6", "b7")
	w.result = failFrom(6, "s/a")
	w.sel(0, 11)
	w.settle(t)
	if r := w.view.Regressions[0]; r.State != Ranged || r.Good != "c004" || r.Bad != "c008" {
		t.Fatalf("%+v, want the range c004..c008", r)
	}
	w.changeRig()
	w.broken()
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c006" {
		t.Errorf("%+v, want culprit c006", w.view.Regressions)
	}
}

// Whatever kernels and rig do, planning comes to an end at each pass, and then
// nothing is searched that cannot be told.
func TestPlanAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 16).Draw(t, "commits")
		w := newWorld(numbered(n)...)
		w.rand = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w.parts = []string{"f/part"}
		w.incremental = rapid.Bool().Draw(t, "incremental")
		spread := func(label string) []float64 {
			return rapid.SampledFrom([][]float64{{1, 0, 0}, {0, 1, 0}, {.9, .05, .05}, {.5, .5, 0}, {.6, .1, .2}, {.2, .2, .6}}).Draw(t, label)
		}
		draw := func(p []float64, r *rand.Rand) suites.Status {
			switch x := r.Float64(); {
			case x < p[0]:
				return suites.Passed
			case x < p[0]+p[1]:
				return suites.Failed
			case x < p[0]+p[1]+p[2]:
				return suites.Broken
			}
			return suites.Skipped
		}
		builds, early, late := spread("builds"), spread("early results"), spread("late results")
		turn := rapid.IntRange(0, n).Draw(t, "turn")
		w.outcome = func(_ string, r *rand.Rand) suites.Status { return draw(builds, r) }
		w.result = func(build, name string, r *rand.Rand) suites.Status {
			var at int
			fmt.Sscanf(build, "b%d", &at)
			if name == CaseBoot && r.IntN(4) > 0 {
				return suites.Passed
			}
			if at < turn {
				return draw(early, r)
			}
			return draw(late, r)
		}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, 5, rapid.ID).Draw(t, "newest") {
			if rapid.IntRange(0, 4).Draw(t, "another rig") == 0 {
				w.changeRig()
			}
			w.pass()
			w.sel(i)
			w.settle(t)
			for _, r := range w.view.Regressions {
				if r.State == Suspected {
					t.Fatalf("nothing is left to do, and still searched: %+v", r)
				}
			}
		}
	})
}
