package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// Another rig sees none of the evidence, and knows what was tested before it. The
// dashboard goes on showing what is known of a commit.
func TestAnotherRigSeesNoEvidence(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 2)
	choose := func(rig orchestrator.Rig, n int) {
		ok(t, db.Apply(ctx, orchestrator.Decision{Upstream: upstream, Target: target, Rig: rig.Digest,
			Select: []orchestrator.Selection{{Commit: hashOf(n), Target: target, Reason: orchestrator.ByNewest}}}))
	}
	choose(testRig, 1)
	built(t, db, 1, suites.Passed)
	ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Failed})

	other := orchestrator.Rig{Salt: "pepper", Digest: "ba9876543210"}
	left, err := db.Unresolved(ctx, upstream, target, other.Salt, 10)
	if err != nil || len(left) != 2 {
		t.Fatalf("unresolved with the other salt: %v, %v", left, err)
	}
	ok(t, db.SetInputs(ctx, target, other.Salt, map[string]string{hashOf(1): buildID(11), hashOf(2): buildID(12)}))
	choose(other, 2)
	v, err := db.View(ctx, upstream, target, other)
	ok(t, err)
	if len(v.Tallies)+len(v.Runs) != 0 || v.Inputs[hashOf(1)] != buildID(11) {
		t.Errorf("the other rig sees %v, %v, inputs %v", v.Tallies, v.Runs, v.Inputs)
	}
	if !cmp.Equal(v.Stale, map[string]bool{hashOf(1): true}) || len(v.Selected) != 1 {
		t.Errorf("stale %v, selected %v", v.Stale, v.Selected)
	}
	points, err := db.Grid(ctx, []string{hashOf(1)})
	if err != nil || len(points) != 1 || points[0].Build.ID != buildID(1) || len(points[0].Runs) != 1 {
		t.Errorf("grid %+v, %v", points, err)
	}
}

// A job of a rig that is gone ends without an outcome, and is no damage.
func TestDropJobs(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	plan(t, db, runJob(1, 0), runJob(1, 1))
	r := begin(t, db, runJob(1, 0))
	ok(t, db.DropJobs(ctx, []string{runJob(1, 0).ID}))
	jobs, err := db.OpenJobs(ctx)
	if err != nil || len(jobs) != 1 || jobs[0].ID != runJob(1, 1).ID {
		t.Errorf("open %v, %v", jobs, err)
	}
	if got, err := db.Run(ctx, r.ID); err != nil || got.State != orchestrator.RunAbandoned {
		t.Errorf("run %+v, %v", got, err)
	}
	v, err := db.View(ctx, upstream, target, testRig)
	ok(t, err)
	key := orchestrator.RunKey{Build: buildID(1), Machine: machine, Suite: "smoke", Layer: suites.Smoke}
	if v.Runs[key] != (orchestrator.RunCounts{Planned: 1, Dropped: 1}) {
		t.Errorf("counts %+v", v.Runs[key])
	}
	if found, err := db.Check(ctx); err != nil || len(found) > 0 {
		t.Errorf("check %v, %v", found, err)
	}
}

// What the rig broke counts since the commit was last selected for a pass.
func TestAPassGivesNewTries(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 2)
	choose := func(reason orchestrator.Reason) {
		ok(t, db.Apply(ctx, orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest,
			Select: []orchestrator.Selection{{Commit: hashOf(1), Target: target, Reason: reason, Upto: suites.Smoke}}}))
	}
	tries := func() orchestrator.Tries {
		v, err := db.View(ctx, upstream, target, testRig)
		ok(t, err)
		return v.BuildTries[buildID(1)]
	}
	choose(orchestrator.ByNewest)
	built(t, db, 1, suites.Broken)
	if got := tries(); got != (orchestrator.Tries{Done: 1, Futile: 1}) {
		t.Errorf("after one try: %+v", got)
	}
	db.Now = func() time.Time { return epoch.Add(time.Hour) }
	if got := tries(); got.Futile != 1 {
		t.Errorf("time alone gives new tries: %+v", got)
	}
	choose(orchestrator.BySearch)
	if got := tries(); got != (orchestrator.Tries{Done: 1}) {
		t.Errorf("after the next pass: %+v", got)
	}
}

// A state is told once, and the next one again.
func TestUnreported(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 9)
	apply := func(g orchestrator.Regression) {
		ok(t, db.Apply(ctx, orchestrator.Decision{Upstream: upstream, Target: target, Regressions: []orchestrator.Regression{g}}))
	}
	untold := func(want int) []orchestrator.Regression {
		t.Helper()
		got, err := db.Unreported(ctx, upstream)
		if err != nil || len(got) != want {
			t.Fatalf("unreported %+v, %v; want %d", got, err, want)
		}
		return got
	}
	apply(suspicion(1, 9))
	g := untold(1)[0]
	ok(t, db.Reported(ctx, g.ID, g.State))
	untold(0)
	g.State, g.Good, g.Bad, g.Culprit = orchestrator.Located, hashOf(4), hashOf(5), hashOf(5)
	apply(g)
	ok(t, db.Reported(ctx, untold(1)[0].ID, orchestrator.Located))
	g.State, g.FixedBy = orchestrator.Fixed, hashOf(7)
	apply(g)
	untold(0)
	if got, err := db.Regression(ctx, g.ID); err != nil || got.FixedBy != hashOf(7) || got.State != orchestrator.Fixed {
		t.Errorf("fixed: %+v, %v", got, err)
	}
}

// A range that new evidence has narrowed is news, and one that stays as it was is
// not. A culprit, once located, is not forgotten for a range.
func TestNarrowedRangeIsNews(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 9)
	apply := func(state orchestrator.RegressionState, good, bad int, confidence float64) {
		g := suspicion(good, bad)
		g.State, g.Confidence = state, confidence
		if v, err := db.View(ctx, upstream, target, testRig); err != nil {
			t.Fatal(err)
		} else if len(v.Regressions) > 0 {
			g.ID = v.Regressions[0].ID
		}
		if state == orchestrator.Located {
			g.Culprit = hashOf(bad)
		}
		ok(t, db.Apply(ctx, orchestrator.Decision{Upstream: upstream, Target: target, Regressions: []orchestrator.Regression{g}}))
	}
	told := func() (states []orchestrator.RegressionState) {
		t.Helper()
		list, err := db.Unreported(ctx, upstream)
		ok(t, err)
		for _, g := range list {
			states = append(states, g.State)
			ok(t, db.Reported(ctx, g.ID, g.State))
		}
		return states
	}
	for _, step := range []struct {
		state      orchestrator.RegressionState
		good, bad  int
		confidence float64
		told       bool
	}{
		{orchestrator.Suspected, 1, 9, 0, true},
		{orchestrator.Suspected, 1, 8, 0, false}, // a search in progress is told once
		{orchestrator.Ranged, 2, 8, 0, true},
		{orchestrator.Ranged, 2, 8, .5, false},
		{orchestrator.Ranged, 4, 8, .5, true},
		{orchestrator.Suspected, 4, 8, .5, false}, // an old view
		{orchestrator.Located, 5, 6, .99, true},
		{orchestrator.Ranged, 4, 8, .5, false}, // another
	} {
		apply(step.state, step.good, step.bad, step.confidence)
		if got := told(); (len(got) == 1 && got[0] == step.state) != step.told || len(got) > 1 {
			t.Errorf("%+v: told %v", step, got)
		}
	}
	if g, err := db.Regression(ctx, 1); err != nil || g.State != orchestrator.Located || g.Culprit != hashOf(6) {
		t.Errorf("in the end: %+v, %v", g, err)
	}
}

// A branch that was set back has nothing above its head.
func TestSetBack(t *testing.T) {
	db := opened(t)
	line(t, db, 5)
	ok(t, db.AddUpdate(t.Context(), upstream, orchestrator.Update{Head: hashOf(3)}))
	if head, err := db.Head(t.Context(), upstream); err != nil || head != hashOf(3) {
		t.Errorf("head %s, %v", head, err)
	}
}
