package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

func TestNeededImages(t *testing.T) {
	db := opened(t)
	line(t, db, 9)
	for n := 1; n <= 9; n++ {
		plan(t, db, buildJob(n, 0))
		b := buildOf(n, suites.Passed)
		b.Finished = epoch.Add(time.Duration(n) * time.Hour)
		if n == 9 {
			b = buildOf(n, suites.Failed)
			b.Finished = epoch.Add(9 * time.Hour)
		}
		ok(t, db.FinishBuild(t.Context(), buildJob(n, 0), b))
	}
	needs := func(what string, numbers ...int) {
		t.Helper()
		var want []string
		for _, n := range numbers {
			want = append(want, imageOf(n))
		}
		got, err := db.NeededImages(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, images in need (-want +got):\n%s", what, err, diff)
		}
	}
	apply := func(g orchestrator.Regression) {
		t.Helper()
		ok(t, db.Apply(t.Context(), orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest, Regressions: []orchestrator.Regression{g}}))
	}
	needs("the newest that was built", 8)
	plan(t, db, runJob(2, 0))
	needs("a job without an outcome", 2, 8)
	r := begin(t, db, runJob(2, 0))
	needs("a run under way", 2, 8)
	add(t, db, r.ID, "boot", suites.Passed)
	ok(t, db.FinishRun(t.Context(), ended(r, suites.Passed), nil))
	needs("its end", 8)
	apply(suspicion(3, 5))
	needs("both ends of a search", 3, 5, 8)
	located := suspicion(4, 5)
	located.ID, located.State, located.Culprit, located.Confidence, located.Run = 1, orchestrator.Located, hashOf(5), 0.995, r.ID
	apply(located)
	needs("culprit, parent and evidence", 2, 4, 5, 8)
	located.State, located.FixedBy = orchestrator.Fixed, hashOf(7)
	apply(located)
	needs("a fix", 8)
}

// TestForgetFiles: only what is old and tells of good work goes.
func TestForgetFiles(t *testing.T) {
	db := opened(t)
	line(t, db, 3)
	built(t, db, 1, suites.Passed)
	built(t, db, 2, suites.Failed)
	good := ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed})
	ran(t, db, 1, 1, map[string]suites.Status{"boot": suites.Failed})
	evidence := ran(t, db, 1, 2, map[string]suites.Status{"boot": suites.Passed})
	g := suspicion(1, 2)
	g.Run = evidence.ID
	ok(t, db.Apply(t.Context(), orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest, Regressions: []orchestrator.Regression{g}}))
	plan(t, db, runJob(1, 3))
	crashed := begin(t, db, runJob(1, 3))
	add(t, db, crashed.ID, "boot", suites.Passed)
	ok(t, db.FinishRun(t.Context(), ended(crashed, suites.Passed), []orchestrator.Crash{{Run: crashed.ID, Title: "lock order reversal", Signature: "s"}}))

	all, err := db.Artifacts(t.Context())
	ok(t, err)
	if old, err := db.OldFiles(t.Context(), epoch); err != nil || old != nil {
		t.Errorf("nothing is that old: %q, %v", old, err)
	}
	ok(t, db.ForgetFiles(t.Context(), epoch))
	if same, err := db.Artifacts(t.Context()); err != nil || !cmp.Equal(all, same) {
		t.Errorf("nothing is that old: %+v, %v", same, err)
	}
	later := epoch.Add(24 * time.Hour)
	want := []string{good.Console, "logs/1.log"}
	if old, err := db.OldFiles(t.Context(), later); err != nil || !cmp.Equal(want, old) {
		t.Errorf("old files %q, %v; want %q", old, err, want)
	}
	ok(t, db.ForgetFiles(t.Context(), later))
	left, err := db.Artifacts(t.Context())
	if err != nil || len(left.Consoles) != len(all.Consoles)-1 || !cmp.Equal(left.Logs, []string{"logs/2.log"}) {
		t.Errorf("left %+v, %v", left, err)
	}
	if found, err := db.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("not sound any more: %v, %v", found, err)
	}
}
