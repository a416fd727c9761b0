package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

func searchOf(good, bad int) orchestrator.Bisection {
	return orchestrator.Bisection{
		Upstream: upstream, Target: target, Machine: machine, Case: "smoke/a", Good: hashOf(good), Bad: hashOf(bad),
		Asker: orchestrator.AskedByPass, Confidence: .99,
	}
}

func TestBisectionIsOne(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 4)
	first, err := db.AddBisection(ctx, searchOf(1, 4))
	if err != nil || first.ID == 0 || first.Opened.IsZero() || first.Ending != "" {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := db.AddBisection(ctx, searchOf(1, 4))
	if d := cmp.Diff(first, again); d != "" || err != nil {
		t.Errorf("stored twice: %v\n%s", err, d)
	}
	other, err := db.AddBisection(ctx, searchOf(2, 4))
	if err != nil || other.ID == first.ID {
		t.Errorf("other ends: %+v, %v", other, err)
	}
	if running, err := db.Bisections(ctx, upstream, target); err != nil || len(running) != 2 {
		t.Errorf("%v, %v", running, err)
	}
	if err := db.EndBisection(ctx, first); err == nil {
		t.Error("ended without an ending")
	}
	first.Ending, first.First, first.Last, first.Posterior, first.Verified = "culprit", hashOf(3), hashOf(3), .995, true
	ok(t, db.EndBisection(ctx, first))
	ok(t, db.EndBisection(ctx, first))
	ended, err := db.AddBisection(ctx, searchOf(1, 4)) // a pass asks once
	if err != nil || ended.Ending != "culprit" || ended.Closed.IsZero() || !ended.Verified || ended.First != hashOf(3) {
		t.Errorf("%+v, %v", ended, err)
	}
	byHand := searchOf(1, 4)
	byHand.Asker, byHand.Confidence = orchestrator.AskedByHand, .999
	open, err := db.AddBisection(ctx, byHand)
	if err != nil || open.ID != first.ID || open.Ending != "" || !open.Closed.IsZero() || open.Confidence != .999 || open.Asker != orchestrator.AskedByHand {
		t.Errorf("asked by hand: %+v, %v", open, err)
	}
	if _, err := db.AddBisection(ctx, searchOf(1, 40)); err == nil {
		t.Error("an end that is no commit was stored")
	}
}

// Runs of one case are the search's evidence, and none of a pass's; a suite's runs are
// evidence of both.
func TestObserved(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 2)
	built(t, db, 1, suites.Passed)
	ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Failed})
	ran(t, db, 1, 1, map[string]suites.Status{"boot": suites.Passed, "smoke/b": suites.Failed})
	b, err := db.AddBisection(ctx, searchOf(1, 2))
	ok(t, err)
	one, queued := runJob(1, 7), runJob(1, 8)
	one.ID, one.Case, one.Boot, one.Bisection = "case-1", "smoke/a", 3, b.ID
	queued.ID, queued.Case, queued.Bisection = "case-2", "smoke/a", b.ID
	plan(t, db, one, queued)
	r := begin(t, db, one)
	add(t, db, r.ID, "smoke/a", suites.Passed)
	r = ended(r, suites.Passed)
	r.BootID = "boot of case-1"
	ok(t, db.FinishRun(ctx, r, []orchestrator.Crash{{Title: "lor", Signature: "aa"}, {Title: "panic", Signature: "bb"}}))

	seen, err := db.Observed(ctx, b, testRig.Digest)
	ok(t, err)
	if len(seen) != 3 || seen[0].Job.Case != "" || seen[0].Status != suites.Failed || seen[0].Booted != suites.Passed {
		t.Fatalf("%+v, want the suite's run and two of the case", seen)
	}
	if s := seen[1]; s.Run != r.ID || s.Status != suites.Passed || s.Booted != 0 || s.Boot != "boot of case-1" || s.Job.Boot != 3 || !cmp.Equal(s.Crashes, []string{"aa", "bb"}) {
		t.Errorf("%+v, want the run of the case", s)
	}
	if s := seen[2]; !s.Open || s.Run != "" || s.Status != 0 {
		t.Errorf("%+v, want a job that is open", s)
	}
	v, err := db.View(ctx, upstream, target, testRig)
	ok(t, err)
	n := v.Tallies[orchestrator.TallyKey{Build: buildID(1), Machine: machine, Case: "smoke/a"}]
	if n.Failed != 1 || n.Passed != 0 {
		t.Errorf("a pass counts %+v, want its own run only", n)
	}
	if other, err := db.Observed(ctx, b, "another rig"); err != nil || len(other) != 0 {
		t.Errorf("another rig saw %v, %v", other, err)
	}
}

// A commit that is on the line for a search's sake stays so until it is followed.
func TestBeyondWhatIsFollowed(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	old, known := commitAt(1), commitAt(2)
	ok(t, db.AddUpdate(ctx, upstream, orchestrator.Update{Head: known.Hash, New: []orchestrator.Commit{known}}))
	old.Beyond, known.Beyond = true, true
	ok(t, db.AddUpdate(ctx, upstream, orchestrator.Update{Head: known.Hash, New: []orchestrator.Commit{old, known}}))
	list, err := db.RecentCommits(ctx, upstream, 5, 0)
	ok(t, err)
	if len(list) != 2 || list[0].Beyond || !list[1].Beyond {
		t.Errorf("%+v, want the older one beyond", list)
	}
	old.Beyond = false
	ok(t, db.AddUpdate(ctx, upstream, orchestrator.Update{Head: known.Hash, New: []orchestrator.Commit{old}}))
	if list, err = db.RecentCommits(ctx, upstream, 5, 0); err != nil || list[1].Beyond {
		t.Errorf("%+v, %v, want it followed", list, err)
	}
}
