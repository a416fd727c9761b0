package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/suites"
)

// hunt is a lab with a bisection over all of its line, and a worker that carries out
// what is queued whenever it is looked at.
type hunt struct {
	*lab
	b       orchestrator.Bisection
	options orchestrator.BisectOptions
	steps   int
	stopAt  int // step at which it is stopped; 0: never
	stop    context.CancelFunc
	last    orchestrator.Advance
	twice   bool // each run is reported twice
}

func newHunt(t *testing.T, commits int) *hunt {
	h := &hunt{lab: newLab(t, commits), options: orchestrator.BisectOptions{Machines: 2, Ahead: 1}}
	_, err := h.conductor.Discover(t.Context(), labUpstream)
	h.ok(err)
	h.b = orchestrator.Bisection{
		Upstream: labUpstream, Target: labTarget, Machine: "small", Case: "s/a", Good: commitName(0), Bad: commitName(commits - 1),
		Asker: orchestrator.AskedByHand, Confidence: .99,
	}
	return h
}

// search takes the bisection to its end, or to where it is stopped.
func (h *hunt) search() (orchestrator.Advance, error) {
	h.Helper()
	var err error
	h.b, err = h.db.AddBisection(h.Context(), h.b)
	h.ok(err)
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	h.stop = cancel
	return h.conductor.Bisect(ctx, h.b, h.options, h.look)
}

// look carries out all that is queued, the newest first, and wakes the conductor.
func (h *hunt) look(a orchestrator.Advance) {
	h.last = a
	if h.steps++; h.steps == h.stopAt {
		h.stop()
		return
	}
	jobs := h.queued
	h.queued = nil
	for _, j := range slices.Backward(jobs) {
		h.now = h.now.Add(time.Second)
		h.order = append(h.order, string(j.Kind)+" "+j.Commit)
		if j.Kind == orchestrator.BuildJob {
			h.build(j)
		} else if h.run(j); h.twice {
			if _, err := h.db.BeginRun(h.Context(), j, "another host", h.now); !errors.Is(err, orchestrator.ErrJobDone) {
				h.Errorf("a run that is done begins again: %v", err)
			}
		}
	}
	h.conductor.Wake()
}

// sometimes lets s/a fail from a commit on with chance p, in each run anew.
func sometimes(culprit int, p float64, seed uint64) func(commit, name string) suites.Status {
	draw := rand.New(rand.NewPCG(seed, 1))
	return func(commit, name string) suites.Status {
		if name == "s/a" && commit >= commitName(culprit) && draw.Float64() < p {
			return suites.Failed
		}
		return suites.Passed
	}
}

func (h *hunt) wantCulprit(a orchestrator.Advance, err error, culprit int) {
	h.Helper()
	h.ok(err)
	b := a.Bisection
	if b.Ending != "culprit" || b.First != commitName(culprit) || b.Last != b.First || !b.Verified || b.Posterior < .99 {
		h.Errorf("%+v, want culprit %s, confirmed", b, commitName(culprit))
	}
}

func TestBisectionFindsWhatFailsNowAndThen(t *testing.T) {
	t.Parallel()
	for _, p := range []float64{1, .3} {
		h := newHunt(t, 60)
		h.result, h.twice = sometimes(23, p, 7), true
		a, err := h.search()
		h.wantCulprit(a, err, 23)
		if a.Cost.Builds > 20 || a.Cost.Runs == 0 {
			t.Errorf("p %v: %+v", p, a.Cost)
		}
		if low, high := a.Posterior.P.Low, a.Posterior.P.High; low > p || high < p*.98 {
			t.Errorf("p %v is told as %v to %v", p, low, high)
		}
		if open, err := h.db.OpenJobs(t.Context()); err != nil || len(open) > 0 {
			t.Errorf("jobs are left: %v, %v", open, err)
		}
		if left, err := h.db.Bisections(t.Context(), labUpstream, labTarget); err != nil || len(left) > 0 {
			t.Errorf("bisections run still: %v, %v", left, err)
		}
	}
}

// A search that is stopped at any step goes on where it was, and does nothing twice.
func TestBisectionResumes(t *testing.T) {
	t.Parallel()
	whole := newHunt(t, 30)
	whole.result = badFrom(11)
	a, err := whole.search()
	whole.wantCulprit(a, err, 11)
	for stop := 1; stop < whole.steps; stop += 8 {
		h := newHunt(t, 30)
		h.result, h.stopAt = badFrom(11), stop
		if _, err := h.search(); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at step %d: %v", stop, err)
		}
		jobs, err := h.db.OpenJobs(t.Context()) // as Recover does
		h.ok(err)
		h.queued = jobs
		again, err := h.search()
		h.wantCulprit(again, err, 11)
		if len(h.order) != len(whole.order) {
			t.Errorf("stopped at step %d: %d jobs, want %d", stop, len(h.order), len(whole.order))
		}
	}
	before := len(whole.order)
	a, err = whole.search()
	whole.wantCulprit(a, err, 11)
	if len(whole.order) != before {
		t.Errorf("asked again it did %v", whole.order[before:])
	}
}

func TestBisectionAroundWhatDoesNotBuild(t *testing.T) {
	t.Parallel()
	h := newHunt(t, 40)
	h.result = badFrom(20)
	h.outcome = func(commit string) suites.Status {
		if commit >= commitName(15) && commit < commitName(25) {
			return suites.Failed
		}
		return suites.Passed
	}
	a, err := h.search()
	h.ok(err)
	if b := a.Bisection; b.Ending != "range" || b.First != commitName(15) || b.Last != commitName(25) {
		t.Errorf("%+v, want the range c015..c025", b)
	}
}

// Commits that made the same image are one, the ends among them.
func TestBisectionOfEqualImages(t *testing.T) {
	t.Parallel()
	h := newHunt(t, 40)
	h.image = func(commit string) string { // four commits each
		var n int
		fmt.Sscanf(commit, "c%d", &n)
		return fmt.Sprintf("sha256:%03d", n/4)
	}
	h.result = badFrom(24)
	a, err := h.search()
	h.wantCulprit(a, err, 24)
}

// What a build breaks and mends is found by builds alone; so is what does not boot,
// by boots.
func TestBisectionOfBuildsAndBoots(t *testing.T) {
	t.Parallel()
	h := newHunt(t, 40)
	h.b.Case, h.b.Machine = orchestrator.CaseBuild, ""
	h.outcome = func(commit string) suites.Status {
		if commit >= commitName(31) {
			return suites.Failed
		}
		return suites.Passed
	}
	a, err := h.search()
	h.wantCulprit(a, err, 31)
	if slices.ContainsFunc(h.order, func(s string) bool { return strings.HasPrefix(s, "run") }) || len(h.order) > 9 {
		t.Errorf("it did %v", h.order)
	}
	h = newHunt(t, 20)
	h.b.Case = orchestrator.CaseBoot
	h.result = func(commit, name string) suites.Status {
		if name == orchestrator.CaseBoot && commit >= commitName(4) {
			return suites.Failed
		}
		return suites.Passed
	}
	a, err = h.search()
	h.wantCulprit(a, err, 4)
}

func TestBisectionFindsAFix(t *testing.T) {
	t.Parallel()
	h := newHunt(t, 40)
	h.b.Fix = true
	draw := rand.New(rand.NewPCG(3, 4))
	h.result = func(commit, name string) suites.Status {
		if name == "s/a" && commit < commitName(17) && draw.Float64() < .6 {
			return suites.Failed
		}
		return suites.Passed
	}
	a, err := h.search()
	h.wantCulprit(a, err, 17)
	if first, last := a.Counts[0], a.Counts[len(a.Counts)-1]; last.Failed > 0 || last.Passed == 0 || first.Failed+first.Passed > 0 && first.Failed == 0 {
		t.Errorf("the ends are counted as %+v and %+v", first, last)
	}
}

func TestBisectionEndsThatMakeNone(t *testing.T) {
	t.Parallel()
	h := newHunt(t, 10)
	h.b.Good, h.b.Bad = commitName(8), commitName(2)
	if _, err := h.search(); !errors.Is(err, orchestrator.ErrNotBefore) {
		t.Errorf("GOOD after BAD: %v", err)
	}
	h = newHunt(t, 10)
	h.outcome = func(commit string) suites.Status {
		if commit == commitName(9) {
			return suites.Failed
		}
		return suites.Passed
	}
	a, err := h.search()
	if h.ok(err); a.Bisection.Ending != orchestrator.EndingUntestable || a.Stuck != "commit c009 cannot be built: disk full" {
		t.Errorf("%+v, %q", a.Bisection, a.Stuck)
	}
	h = newHunt(t, 10)
	h.result = func(_, name string) suites.Status {
		if name == "s/a" {
			return suites.Skipped
		}
		return suites.Passed
	}
	a, err = h.search()
	if h.ok(err); a.Bisection.Ending != orchestrator.EndingUntestable {
		t.Errorf("a case that is skipped: %+v", a.Bisection)
	}
	h = newHunt(t, 10)
	h.result = badFrom(0)
	a, err = h.search()
	if h.ok(err); a.Bisection.Ending != bisect.BadBefore.String() && a.Bisection.Ending != bisect.NoCulprit.String() {
		t.Errorf("the good end is bad: %+v", a.Bisection)
	}
}

// A pass finds what fails now and then: verdicts end with a range, which may be a wrong
// one, and the search that follows with the culprit.
func TestPassBisectsWhatGoesBothWays(t *testing.T) {
	t.Parallel()
	found := 0
	for _, seed := range []uint64{0, 6} { // in the first the newest commit never fails twice
		l := newLab(t, 1)
		l.result = sometimes(9, .5, seed)
		l.pass()
		for _, n := range []int{6, 20, 24, 28} {
			l.grow(n)
			l.pass()
		}
		for _, r := range l.regressions() {
			switch {
			case r.Culprit == "" || r.State == orchestrator.Withdrawn:
			case r.Culprit != commitName(9):
				t.Errorf("seed %d: %+v, want nobody but c009 accused", seed, r)
			case r.State == orchestrator.Fixed:
				t.Errorf("seed %d: %+v is not fixed", seed, r)
			default:
				found++
			}
		}
	}
	if found != 1 {
		t.Errorf("%d of 2 found, want one", found)
	}
}

// A pass counts its own runs only: what a search asked for opens no regression.
func TestBisectionLeavesPassesAlone(t *testing.T) {
	t.Parallel()
	h := newHunt(t, 30)
	h.result = badFrom(11)
	_, err := h.search()
	h.ok(err)
	v, err := h.conductor.View(t.Context(), labUpstream, h.conductor.Targets(labUpstream)[0])
	h.ok(err)
	if len(v.Tallies)+len(v.Runs)+len(v.Regressions) > 0 {
		t.Errorf("a pass sees %v, %v and %v", v.Tallies, v.Runs, v.Regressions)
	}
	h.order = nil
	h.pass()
	if len(h.order) != 2 || h.order[0] != "run c029" || h.order[1] != "run c029" {
		t.Errorf("the pass did %v, want two runs of the newest commit", h.order)
	}
}
