package store

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

func TestLine(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 4)
	ok(t, db.AddUpdate(ctx, upstream, orchestrator.Update{New: []orchestrator.Commit{commitAt(5), commitAt(6)}}))
	unresolved, err := db.Unresolved(ctx, upstream, target, testRig.Salt, 10)
	if err != nil || !cmp.Equal(unresolved, []string{hashOf(6), hashOf(5)}) {
		t.Errorf("unresolved %v, %v", unresolved, err)
	}
	// A force-push: 6 and 5 go, 5' comes; 4 is replaced without being named.
	other5, other4 := commitAt(5), commitAt(4)
	other5.Hash, other4.Hash = hashOf(105), hashOf(104)
	force := orchestrator.Update{Dropped: []string{hashOf(6), hashOf(5)}, New: []orchestrator.Commit{other4, other5}}
	for range 2 {
		ok(t, db.AddUpdate(ctx, upstream, force))
	}
	if head, err := db.Head(ctx, upstream); err != nil || head != hashOf(105) {
		t.Errorf("head %s, %v", head, err)
	}
	ok(t, db.SetInputs(ctx, target, "salt", map[string]string{hashOf(105): buildID(5), hashOf(5): buildID(5)}))
	v, err := db.View(ctx, upstream, target, testRig)
	ok(t, err)
	want := []orchestrator.Commit{commitAt(1), commitAt(2), commitAt(3), other5}
	if diff := cmp.Diff(want, v.Line); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if len(v.Inputs) != 4 || v.Inputs[hashOf(105)] != buildID(5) {
		t.Errorf("inputs %v", v.Inputs)
	}
	// And back again.
	ok(t, db.AddUpdate(ctx, upstream, orchestrator.Update{Dropped: []string{hashOf(104), hashOf(105)}, New: []orchestrator.Commit{commitAt(4), commitAt(5)}}))
	recent, err := db.RecentCommits(ctx, upstream, 2, 0)
	if err != nil || !cmp.Equal(recent, []orchestrator.Commit{commitAt(5), commitAt(4)}) {
		t.Errorf("recent %v, %v", recent, err)
	}
	if empty, err := db.Head(ctx, "another"); err != nil || empty != "" {
		t.Errorf("head of an unknown upstream %q, %v", empty, err)
	}
}

func TestViewCounts(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 3)
	built(t, db, 1, suites.Passed)
	built(t, db, 2, suites.Failed)
	ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.ExpectedFailure, "smoke/b": suites.Skipped})
	ran(t, db, 1, 1, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Failed, "smoke/b": suites.Broken})
	plan(t, db, runJob(1, 2), runJob(1, 3), runJob(1, 4))
	add(t, db, begin(t, db, runJob(1, 2)).ID, "boot", suites.Failed) // under way: does not count
	ok(t, db.FinishRun(ctx, ended(begin(t, db, runJob(1, 3)), suites.Broken), nil))
	foreign := runJob(1, 0)
	foreign.ID, foreign.Target, foreign.Build = "run-foreign", "arm64", buildID(77)
	plan(t, db, foreign)
	f := begin(t, db, foreign)
	add(t, db, f.ID, "boot", suites.Failed)
	ok(t, db.FinishRun(ctx, ended(f, suites.Failed), nil))

	v, err := db.View(ctx, upstream, target, testRig)
	ok(t, err)
	key := func(name string) orchestrator.TallyKey {
		return orchestrator.TallyKey{Build: buildID(1), Machine: machine, Case: name}
	}
	tallies := map[orchestrator.TallyKey]verdict.Counts{
		key("boot"): {Passed: 2}, key("smoke/a"): {Passed: 1, Failed: 1}, key("smoke/b"): {Broken: 1, Skipped: 1},
	}
	if diff := cmp.Diff(tallies, v.Tallies); diff != "" {
		t.Errorf("tallies (-want +got):\n%s", diff)
	}
	runs := map[orchestrator.RunKey]orchestrator.RunCounts{
		{Build: buildID(1), Machine: machine, Suite: "smoke", Layer: suites.Smoke}: {Finished: 3, Broken: 1, Recent: 1, Planned: 5},
	}
	if diff := cmp.Diff(runs, v.Runs); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	builds := map[string]orchestrator.Build{buildID(1): buildOf(1, suites.Passed), buildID(2): buildOf(2, suites.Failed)}
	if diff := cmp.Diff(builds, v.Builds); diff != "" || v.BuildTries[buildID(1)] != (orchestrator.Tries{Done: 1}) {
		t.Errorf("tries %v, builds (-want +got):\n%s", v.BuildTries, diff)
	}
}

func TestApplyTwice(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 5)
	built(t, db, 1, suites.Passed)
	d := orchestrator.Decision{
		Upstream: upstream, Target: target, Rig: testRig.Digest,
		Select: []orchestrator.Selection{{Commit: hashOf(1), Target: target, Reason: orchestrator.ByNewest}},
		Jobs:   []orchestrator.Job{runJob(1, 1), runJob(1, 0)},
		Verdicts: []orchestrator.Judgement{{TallyKey: orchestrator.TallyKey{Build: buildID(1), Case: "build"},
			Verdict: verdict.Good, Counts: verdict.Counts{Passed: 1}}},
		Regressions: []orchestrator.Regression{suspicion(1, 5)},
	}
	ok(t, db.Apply(ctx, d))
	db.Now = func() time.Time { return epoch.Add(time.Hour) }
	d.Select[0].Reason = orchestrator.BySearch // the first reason stays
	ok(t, db.Apply(ctx, d))
	v, err := db.View(ctx, upstream, target, testRig)
	ok(t, err)
	want := suspicion(1, 5)
	want.ID, want.Opened = 1, epoch
	if diff := cmp.Diff([]orchestrator.Regression{want}, v.Regressions); diff != "" {
		t.Errorf("regressions (-want +got):\n%s", diff)
	}
	if !cmp.Equal(v.Selected, map[string]orchestrator.Selection{hashOf(1): {Commit: hashOf(1), Target: target, Reason: orchestrator.ByNewest}}) {
		t.Errorf("selected %v", v.Selected)
	}
	jobs, err := db.OpenJobs(ctx)
	if diff := cmp.Diff([]orchestrator.Job{runJob(1, 1), runJob(1, 0)}, jobs); err != nil || diff != "" {
		t.Errorf("%v, open jobs (-want +got):\n%s", err, diff)
	}
	verdicts, err := db.Verdicts(ctx, buildID(1))
	if diff := cmp.Diff(d.Verdicts, verdicts); err != nil || diff != "" {
		t.Errorf("%v, verdicts (-want +got):\n%s", err, diff)
	}
}

func suspicion(good, bad int) orchestrator.Regression {
	return orchestrator.Regression{Upstream: upstream, Target: target, Machine: machine, Case: "smoke/a",
		State: orchestrator.Suspected, Good: hashOf(good), Bad: hashOf(bad)}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*orchestrator.Decision)
		want  string
	}{
		"unknown commit":  {func(d *orchestrator.Decision) { d.Select[0].Commit = "beef" }, "FOREIGN KEY"},
		"unknown reason":  {func(d *orchestrator.Decision) { d.Select[0].Reason = "" }, "reason_is_a_word"},
		"unknown kind":    {func(d *orchestrator.Decision) { d.Jobs[1].Kind = "" }, "kind_is_a_word"},
		"no suite":        {func(d *orchestrator.Decision) { d.Jobs[1].Suite = "" }, "run_says_what_runs"},
		"unset verdict":   {func(d *orchestrator.Decision) { d.Verdicts[0].Verdict = "" }, "verdict_is_a_word"},
		"unbuilt verdict": {func(d *orchestrator.Decision) { d.Verdicts[0].Build = "beef" }, "FOREIGN KEY"},
		"unset state":     {func(d *orchestrator.Decision) { d.Regressions[0].State = "" }, "state_is_a_word"},
		"no culprit":      {func(d *orchestrator.Decision) { d.Regressions[0].State = orchestrator.Located }, "a_located_regression_has_a_culprit"},
		"no such id":      {func(d *orchestrator.Decision) { d.Regressions[0].ID = 9 }, "number 9: not found"},
	} {
		t.Run(name, func(t *testing.T) {
			db := opened(t)
			line(t, db, 3)
			built(t, db, 1, suites.Passed)
			d := orchestrator.Decision{
				Upstream: upstream, Target: target, Rig: testRig.Digest,
				Select: []orchestrator.Selection{{Commit: hashOf(1), Target: target, Reason: orchestrator.ByHand}},
				Jobs:   []orchestrator.Job{runJob(1, 0), runJob(1, 1)},
				Verdicts: []orchestrator.Judgement{{TallyKey: orchestrator.TallyKey{Build: buildID(1), Case: "build"},
					Verdict: verdict.Good}},
				Regressions: []orchestrator.Regression{suspicion(1, 3)},
			}
			test.spoil(&d)
			if err := db.Apply(t.Context(), d); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if jobs, err := db.OpenJobs(t.Context()); err != nil || len(jobs) > 0 {
				t.Errorf("half a decision was stored: %v, %v", jobs, err)
			}
		})
	}
}

// TestRegressionLife follows one regression from suspicion to culprit, with
// decisions from views that are out of date in between.
func TestRegressionLife(t *testing.T) {
	db := opened(t)
	line(t, db, 9)
	apply := func(g orchestrator.Regression) []orchestrator.Regression {
		t.Helper()
		ok(t, db.Apply(t.Context(), orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest, Regressions: []orchestrator.Regression{g}}))
		v, err := db.View(t.Context(), upstream, target, testRig)
		ok(t, err)
		return v.Regressions
	}
	apply(suspicion(1, 9))
	narrowed := suspicion(1, 5)
	narrowed.ID = 1
	if got := apply(narrowed); len(got) != 1 || got[0].Bad != hashOf(5) {
		t.Errorf("narrowed: %+v", got)
	}
	if got := apply(suspicion(1, 9)); len(got) != 1 || got[0].Bad != hashOf(5) {
		t.Errorf("suspected again from an old view: %+v", got)
	}
	located := suspicion(4, 5)
	located.ID, located.State, located.Culprit, located.Confidence = 1, orchestrator.Located, hashOf(5), 0.995
	got := apply(located)
	if len(got) != 1 || got[0].Culprit != hashOf(5) || !got[0].Closed.Equal(epoch) || got[0].Good != hashOf(4) {
		t.Errorf("located: %+v", got)
	}
	for _, stale := range []orchestrator.Regression{narrowed, suspicion(1, 5)} {
		if got := apply(stale); len(got) != 1 || got[0].State != orchestrator.Located {
			t.Errorf("a located regression was opened again: %+v", got)
		}
	}
	if got := apply(suspicion(6, 8)); len(got) != 2 {
		t.Errorf("it came back after a fix: %+v", got)
	}
	open, err := db.Regressions(t.Context(), "", true, 0)
	if err != nil || len(open) != 1 || open[0].Bad != hashOf(8) {
		t.Errorf("open: %+v, %v", open, err)
	}
	all, err := db.Regressions(t.Context(), upstream, false, 0)
	if err != nil || len(all) != 2 || all[0].ID != 2 {
		t.Errorf("all: %+v, %v", all, err)
	}
	if one, err := db.Regression(t.Context(), 1); err != nil || !cmp.Equal(one, all[1]) {
		t.Errorf("one: %+v, %v", one, err)
	}
}

func TestEvidence(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	k := orchestrator.TallyKey{Build: buildID(1), Machine: machine, Case: "smoke/a"}
	if run, reason, err := db.Evidence(t.Context(), k); err != nil || run+reason != "" {
		t.Errorf("evidence from nothing: %q %q, %v", run, reason, err)
	}
	ran(t, db, 1, 0, map[string]suites.Status{"smoke/a": suites.Passed})
	want := ran(t, db, 1, 1, map[string]suites.Status{"smoke/a": suites.Failed})
	if run, reason, err := db.Evidence(t.Context(), k); err != nil || run != want.ID || reason != "saw 2, expected 3" {
		t.Errorf("got %q %q, %v", run, reason, err)
	}
}
