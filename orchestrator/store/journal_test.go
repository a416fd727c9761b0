package store

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

func TestRunRoundTrip(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	plan(t, db, runJob(1, 0))
	r := begin(t, db, runJob(1, 0))
	if len(r.ID) != 12 || r.Attempt != 1 || r.State != orchestrator.RunRunning || r.Job != runJob(1, 0) {
		t.Errorf("begun as %+v", r)
	}
	want := []suites.Result{
		{Case: "boot", Status: suites.Passed, Duration: 9 * time.Second, Metrics: map[string]float64{"boot_s": 9.25}},
		{Case: "smoke/a", Status: suites.Failed, Reason: "saw 2", Duration: time.Microsecond},
	}
	for _, res := range want {
		ok(t, db.AddResult(t.Context(), r.ID, res))
	}
	ok(t, db.AddResult(t.Context(), r.ID, suites.Result{Case: "boot", Status: suites.Failed})) // changes nothing
	r = ended(r, suites.Failed)
	crashes := []orchestrator.Crash{{Run: r.ID, Title: "panic: page fault", Signature: "ab12", Text: "trap 12\x00\xff"}}
	ok(t, db.FinishRun(t.Context(), r, crashes))
	ok(t, db.FinishRun(t.Context(), ended(r, suites.Passed), nil)) // changes nothing

	got, err := db.Run(t.Context(), r.ID[:5])
	if diff := cmp.Diff(r, got); err != nil || diff != "" {
		t.Errorf("%v, run (-want +got):\n%s", err, diff)
	}
	results, err := db.Results(t.Context(), r.ID)
	if diff := cmp.Diff(want, results); err != nil || diff != "" {
		t.Errorf("%v, results (-want +got):\n%s", err, diff)
	}
	crashes[0].Text = "trap 12\uFFFD\uFFFD"
	stored, err := db.RunCrashes(t.Context(), r.ID)
	if diff := cmp.Diff(crashes, stored); err != nil || diff != "" {
		t.Errorf("%v, crashes (-want +got):\n%s", err, diff)
	}
	if _, err := db.BeginRun(t.Context(), runJob(1, 0), "lab2", epoch); !errors.Is(err, orchestrator.ErrJobDone) {
		t.Errorf("a finished job begins again: %v", err)
	}
	if err := db.AddResult(t.Context(), r.ID, suites.Result{Case: "smoke/late", Status: suites.Passed}); !errors.Is(err, orchestrator.ErrJobDone) {
		t.Errorf("a finished run takes results: %v", err)
	}
}

func TestAnotherAttemptTakesOver(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	plan(t, db, runJob(1, 0))
	first := begin(t, db, runJob(1, 0))
	add(t, db, first.ID, "boot", suites.Failed)
	second := begin(t, db, runJob(1, 0))
	if second.Attempt != 2 || second.ID == first.ID {
		t.Errorf("second attempt is %+v", second)
	}
	res := suites.Result{Case: "boot", Status: suites.Failed}
	if err := db.AddResult(t.Context(), first.ID, res); !errors.Is(err, orchestrator.ErrAbandoned) {
		t.Errorf("abandoned run: %v", err)
	}
	if err := db.FinishRun(t.Context(), ended(first, suites.Failed), nil); !errors.Is(err, orchestrator.ErrAbandoned) {
		t.Errorf("abandoned run ends: %v", err)
	}
	add(t, db, second.ID, "boot", suites.Passed)
	ok(t, db.FinishRun(t.Context(), ended(second, suites.Passed), nil))
	for name, err := range map[string]error{
		"result": db.AddResult(t.Context(), first.ID, res),
		"end":    db.FinishRun(t.Context(), ended(first, suites.Failed), nil),
	} {
		if !errors.Is(err, orchestrator.ErrJobDone) {
			t.Errorf("%s of an abandoned run of a done job: %v", name, err)
		}
	}
	v, err := db.View(t.Context(), upstream, target, testRig)
	ok(t, err)
	want := map[orchestrator.TallyKey]verdict.Counts{{Build: buildID(1), Machine: machine, Case: "boot"}: {Passed: 1}}
	if diff := cmp.Diff(want, v.Tallies); diff != "" {
		t.Errorf("tallies (-want +got):\n%s", diff)
	}
}

func TestJournalRefuses(t *testing.T) {
	db := opened(t)
	line(t, db, 2)
	built(t, db, 1, suites.Passed)
	plan(t, db, runJob(1, 0), buildJob(2, 0))
	r := begin(t, db, runJob(1, 0))
	_, unplanned := db.BeginRun(t.Context(), runJob(1, 7), "lab1", epoch)
	_, unplannedBuild := db.BeginBuild(t.Context(), buildJob(1, 9))
	_, wrongKind := db.BeginBuild(t.Context(), runJob(1, 0))
	noImage := buildOf(2, suites.Passed)
	noImage.Image = ""
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"run not planned":   {unplanned, "run-1-7: job is not planned"},
		"build not planned": {unplannedBuild, "build-1-9: job is not planned"},
		"wrong kind":        {wrongKind, "is a run job, not a build job"},
		"no status":         {db.AddResult(t.Context(), r.ID, suites.Result{Case: "smoke/a"}), "invalid status 0"},
		"no case":           {db.AddResult(t.Context(), r.ID, suites.Result{Status: suites.Passed}), "case_is_named"},
		"no such run":       {db.AddResult(t.Context(), "feedfeedfeed", suites.Result{Case: "x", Status: suites.Passed}), "not found"},
		"silence":           {db.FinishRun(t.Context(), ended(r, suites.Passed), nil), "a run without results cannot be passed"},
		"no end status":     {db.FinishRun(t.Context(), ended(r, 0), nil), "invalid status 0"},
		"expected end":      {db.FinishRun(t.Context(), ended(r, suites.ExpectedFailure), nil), "cannot be expected_failure"},
		"another's build":   {db.FinishBuild(t.Context(), buildJob(2, 0), buildOf(1, suites.Passed)), "is not what the job makes"},
		"expected build":    {db.FinishBuild(t.Context(), buildJob(2, 0), buildOf(2, suites.ExpectedFailure)), "status_is_a_word"},
		"no image":          {db.FinishBuild(t.Context(), buildJob(2, 0), noImage), "only_a_passed_build_has_an_image"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, test.err, test.want)
		}
	}
	ok(t, db.FinishRun(t.Context(), ended(r, suites.Broken), nil)) // the rig may fail before anything is said
}

func TestBuildOutcomes(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	view := func() (orchestrator.Build, int) {
		v, err := db.View(t.Context(), upstream, target, testRig)
		ok(t, err)
		return v.Builds[buildID(1)], v.BuildTries[buildID(1)].Futile
	}
	plan(t, db, buildJob(1, 0), buildJob(1, 1), buildJob(1, 2))
	for want := 1; want <= 2; want++ {
		if got, err := db.BeginBuild(t.Context(), buildJob(1, 0)); err != nil || got != want {
			t.Errorf("attempt %d, %v; want %d", got, err, want)
		}
	}
	for range 2 {
		ok(t, db.FinishBuild(t.Context(), buildJob(1, 0), buildOf(1, suites.Broken)))
	}
	if b, tries := view(); b.Status != suites.Broken || tries != 1 {
		t.Errorf("after one broken build twice: %v, %d tries", b.Status, tries)
	}
	if err := db.FinishBuild(t.Context(), buildJob(1, 0), buildOf(1, suites.Passed)); !errors.Is(err, orchestrator.ErrJobDone) {
		t.Errorf("another outcome of a done job: %v", err)
	}
	if _, err := db.BeginBuild(t.Context(), buildJob(1, 0)); !errors.Is(err, orchestrator.ErrJobDone) {
		t.Errorf("a done job begins again: %v", err)
	}
	ok(t, db.FinishBuild(t.Context(), buildJob(1, 1), buildOf(1, suites.Passed)))
	if b, tries := view(); tries != 0 || !cmp.Equal(b, buildOf(1, suites.Passed)) {
		t.Errorf("a passed build replaces a broken one: %+v, %d tries", b, tries)
	}
	ok(t, db.FinishBuild(t.Context(), buildJob(1, 2), buildOf(1, suites.Broken)))
	if b, tries := view(); b.Status != suites.Passed || tries != 0 {
		t.Errorf("a passed build is final: %v, %d tries", b.Status, tries)
	}
}

// What guests and tools say is cut, not refused: a refusal would repeat for ever.
func TestForeignTextIsBounded(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	plan(t, db, runJob(1, 0))
	r := begin(t, db, runJob(1, 0))
	long := strings.Repeat("é", 1<<20)
	ok(t, db.AddResult(t.Context(), r.ID, suites.Result{Case: "smoke/a", Status: suites.Failed, Reason: long, Duration: -1,
		Metrics: map[string]float64{"rate_bytes_per_s": math.NaN(), "loss_ratio": math.Inf(1), "rtt_s": 0.5}}))
	var crashes []orchestrator.Crash
	for range 3 * maxCrashes {
		crashes = append(crashes, orchestrator.Crash{Title: long[:5000], Text: long[:5000]})
	}
	r = ended(r, suites.Failed)
	r.Reason = long
	ok(t, db.FinishRun(t.Context(), r, crashes))
	results, err := db.Results(t.Context(), r.ID)
	ok(t, err)
	if got := results[0]; len(got.Reason) > maxReason || len(got.Reason) < maxReason-4 || !strings.HasSuffix(got.Reason, "é…") ||
		!cmp.Equal(got.Metrics, map[string]float64{"rtt_s": 0.5}) || got.Duration != 0 {
		t.Errorf("kept %d bytes, metrics %v, %v", len(got.Reason), got.Metrics, got.Duration)
	}
	kept, err := db.RunCrashes(t.Context(), r.ID)
	if err != nil || len(kept) != maxCrashes || len(kept[0].Title) > maxLine {
		t.Errorf("kept %d crashes, %v", len(kept), err)
	}
}

// A clean build's outcome replaces an incremental one, and what ran on the image
// of before counts no more. Nothing else replaces a build.
func TestACleanBuildReplacesAnIncrementalOne(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 1)
	plan(t, db, buildJob(1, 0))
	incremental := buildOf(1, suites.Passed)
	incremental.Incremental = true
	ok(t, db.FinishBuild(ctx, buildJob(1, 0), incremental))
	ran(t, db, 1, 0, map[string]suites.Status{"smoke/a": suites.Failed})
	key := orchestrator.RunKey{Build: buildID(1), Machine: machine, Suite: "smoke", Layer: suites.Smoke}
	clean := func(image string) orchestrator.View {
		t.Helper()
		j := buildJob(1, 1)
		j.ID, j.Clean = "clean-"+image, true
		b := buildOf(1, suites.Passed)
		b.Image = image
		plan(t, db, j)
		ok(t, db.FinishBuild(ctx, j, b))
		v, err := db.View(ctx, upstream, target, testRig)
		ok(t, err)
		return v
	}
	v := clean(imageOf(2))
	if b := v.Builds[buildID(1)]; b.Incremental || b.Image != imageOf(2) {
		t.Errorf("after a clean build: %+v", b)
	}
	if len(v.Tallies) != 0 || v.Runs[key] != (orchestrator.RunCounts{Dropped: 1}) {
		t.Errorf("evidence about the old image counts: %v, %v", v.Tallies, v.Runs)
	}
	if got := v.BuildTries[buildID(1)]; got != (orchestrator.Tries{Done: 2, Clean: 1}) {
		t.Errorf("tries %+v", got)
	}
	if b := clean(imageOf(3)).Builds[buildID(1)]; b.Image != imageOf(2) {
		t.Errorf("a second clean build replaced the first: %+v", b)
	}
	if found, err := db.Check(ctx); err != nil || len(found) > 0 {
		t.Errorf("check %v, %v", found, err)
	}
}
