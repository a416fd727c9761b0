package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

func TestFindByPrefix(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 3)
	onFork := commitAt(1)
	onFork.Upstream = "a-fork"
	ok(t, db.AddUpdate(ctx, "a-fork", orchestrator.Update{New: []orchestrator.Commit{onFork}}))
	ok(t, db.AddUpdate(ctx, "a-fork", orchestrator.Update{Dropped: []string{onFork.Hash}}))
	built(t, db, 1, suites.Passed)
	r := ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed})

	if c, err := db.Commit(ctx, hashOf(2)); err != nil || c != commitAt(2) {
		t.Errorf("whole hash: %+v, %v", c, err)
	}
	if c, err := db.Commit(ctx, hashOf(1)); err != nil || c != commitAt(1) {
		t.Errorf("a commit on the line comes before the same one off another: %+v, %v", c, err)
	}
	if b, err := db.Build(ctx, buildID(1)[:60]); err != nil || b.ID != buildID(1) {
		t.Errorf("build: %+v, %v", b, err)
	}
	if got, err := db.Run(ctx, r.ID[:4]); err != nil || got.ID != r.ID {
		t.Errorf("run: %+v, %v", got, err)
	}
	_, several := db.Commit(ctx, hashOf(1)[:20])
	if !errors.Is(several, ErrAmbiguous) {
		t.Errorf("prefix of three commits: %v", several)
	}
	for _, id := range []string{"", "no such id", "%", "'", "\U0010FFFF"} {
		_, commit := db.Commit(ctx, id)
		_, run := db.Run(ctx, id)
		_, build := db.Build(ctx, id)
		for _, err := range []error{commit, run, build} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if _, err := db.Regression(ctx, 7); !errors.Is(err, ErrNotFound) {
		t.Errorf("regression 7: %v", err)
	}
	if names, err := db.Upstreams(ctx); err != nil || !cmp.Equal(names, []string{"a-fork", upstream}) {
		t.Errorf("upstreams %v, %v", names, err)
	}
}

func TestGrid(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 4)
	ok(t, db.SetInputs(ctx, target, "salt", map[string]string{hashOf(2): buildID(1)})) // shares a build
	built(t, db, 1, suites.Passed)
	built(t, db, 3, suites.Failed)
	finished := ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Failed, "smoke/b": suites.ExpectedFailure})
	plan(t, db, runJob(1, 1))
	begin(t, db, runJob(1, 1)) // will be abandoned
	now, err := db.BeginRun(ctx, runJob(1, 1), "lab1", epoch.Add(time.Hour))
	ok(t, err)
	add(t, db, now.ID, "boot", suites.Failed)

	got, err := db.Grid(ctx, []string{hashOf(4), hashOf(2), hashOf(3), "unknown", hashOf(1)})
	ok(t, err)
	runs := []RunTally{
		{Run: now, Boot: suites.Failed},
		{Run: finished, Counts: ResultCounts{Failed: 1, ExpectedFailure: 1}, Boot: suites.Passed},
	}
	want := []Point{
		{Commit: hashOf(4), Target: target, Build: orchestrator.Build{ID: buildID(4)}},
		{Commit: hashOf(2), Target: target, Build: buildOf(1, suites.Passed), Runs: runs},
		{Commit: hashOf(3), Target: target, Build: buildOf(3, suites.Failed)},
		{Commit: hashOf(1), Target: target, Build: buildOf(1, suites.Passed), Runs: runs},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grid (-want +got):\n%s", diff)
	}
	if builds, err := db.CommitBuilds(ctx, hashOf(2)); err != nil || !cmp.Equal(builds, []orchestrator.Build{buildOf(1, suites.Passed)}) {
		t.Errorf("builds %+v, %v", builds, err)
	}
	if empty, err := db.Grid(ctx, nil); err != nil || len(empty) > 0 {
		t.Errorf("empty grid %v, %v", empty, err)
	}
}

func TestRunLists(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	for i := range 3 {
		ran(t, db, 1, i, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Failed})
	}
	plan(t, db, runJob(1, 3))
	first := begin(t, db, runJob(1, 3))
	second, err := db.BeginRun(ctx, runJob(1, 3), "lab2", epoch.Add(time.Hour))
	ok(t, err)
	running, err := db.RunningRuns(ctx)
	if diff := cmp.Diff([]orchestrator.Run{second}, running); err != nil || diff != "" {
		t.Errorf("%v, running (-want +got):\n%s", err, diff)
	}
	if recent, err := db.RecentRuns(ctx, 2); err != nil || len(recent) != 2 || recent[0].State != orchestrator.RunFinished {
		t.Errorf("recent %+v, %v", recent, err)
	}
	all, err := db.RunsOfBuild(ctx, buildID(1), 0)
	if err != nil || len(all) != 5 || all[0].ID != second.ID {
		t.Errorf("of the build: %d, %v", len(all), err)
	}
	if r, err := db.Run(ctx, first.ID); err != nil || r.State != orchestrator.RunAbandoned {
		t.Errorf("first attempt: %+v, %v", r, err)
	}
	n, err := db.Tally(ctx, orchestrator.TallyKey{Build: buildID(1), Machine: machine, Case: "smoke/a"})
	if err != nil || n != (verdict.Counts{Failed: 3}) {
		t.Errorf("tally %+v, %v", n, err)
	}
}

func TestCounts(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 3)
	fork := commitAt(1)
	ok(t, db.AddUpdate(ctx, "fork", orchestrator.Update{New: []orchestrator.Commit{fork}}))
	built(t, db, 1, suites.Passed)
	built(t, db, 2, suites.Passed)
	ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Skipped})
	ran(t, db, 2, 0, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Broken})
	plan(t, db, runJob(2, 1), buildJob(3, 0))
	add(t, db, begin(t, db, runJob(2, 1)).ID, "boot", suites.Passed)
	ok(t, db.Apply(ctx, orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest, Regressions: []orchestrator.Regression{suspicion(1, 2)}}))

	for name, want := range map[string]Counts{
		"":       {Commits: 4, Builds: 2, Runs: 2, Results: ResultCounts{Passed: 2, Skipped: 1, Broken: 1}, Running: 1, OpenJobs: 2, OpenRegressions: 1},
		upstream: {Commits: 3, Builds: 2, Runs: 2, Results: ResultCounts{Passed: 2, Skipped: 1, Broken: 1}, Running: 1, OpenJobs: 2, OpenRegressions: 1},
		"fork":   {Commits: 1, Builds: 1, Runs: 1, Results: ResultCounts{Passed: 1, Skipped: 1}},
		"none":   {},
	} {
		if got, err := db.Counts(ctx, name); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	if n := (ResultCounts{Broken: 2, Passed: 1}); n.Of(suites.Broken) != 2 || n.Of(0) != 0 || n.Total() != 3 {
		t.Errorf("%+v is counted wrong", n)
	}
}

func TestArtifacts(t *testing.T) {
	db := opened(t)
	line(t, db, 2)
	built(t, db, 1, suites.Passed)
	built(t, db, 2, suites.Failed)
	r := ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed})
	got, err := db.Artifacts(t.Context())
	want := Artifacts{Images: []string{imageOf(1)}, Logs: []string{"logs/1.log", "logs/2.log"}, Consoles: []string{r.Console}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, artifacts (-want +got):\n%s", err, diff)
	}
}

// TestCheckFinds damages a database in one way each, past all constraints.
func TestCheckFinds(t *testing.T) {
	for check, script := range map[string]string{
		"run-without-results": `DELETE FROM results; UPDATE runs SET passed = 0`,
		"run-against-results": `UPDATE results SET status = 'failed'; UPDATE runs SET passed = 0, failed = 1`,
		"run-counts":          `UPDATE runs SET passed = 2`,
		"job-without-outcome": `INSERT INTO jobs (id, payload, created, done_at)
			SELECT 'other', payload, created, 1 FROM jobs WHERE kind = 'run'`,
		"outcome-without-job": `UPDATE jobs SET done_at = NULL WHERE kind = 'build'`,
		"foreign-key":         `INSERT INTO crashes (run, n, title, signature, text) VALUES ('feedfeedfeed', 1, 'x', 'x', 'x')`,
		"path":                `UPDATE runs SET console = '../../etc/passwd'`,
		"inputs-of-nothing":   `INSERT INTO inputs VALUES ('amd64', 'salt', 'beef', 'f00d', 1)`,
		"regression-culprit": `INSERT INTO regressions (upstream, target, machine, case_name, state, good, bad, culprit,
			confidence, reason, opened, closed) SELECT upstream, 'amd64', '', 'build', 'located', '', hash, 'beef', 1, '', 0, 1 FROM commits`,
		"": `SELECT 1`,
	} {
		t.Run(check, func(t *testing.T) {
			db := opened(t)
			line(t, db, 1)
			built(t, db, 1, suites.Passed)
			ran(t, db, 1, 0, map[string]suites.Status{"boot": suites.Passed})
			_, err := db.w.Exec(`PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; ` + script)
			ok(t, err)
			found, err := db.Check(t.Context())
			ok(t, err)
			var names []string
			for _, f := range found {
				names = append(names, f.Check)
			}
			if strings.Join(names, " ") != check {
				t.Errorf("found %v, want %q", found, check)
			}
			live, err := Check(t.Context(), db.path) // also from beside the owner
			if diff := cmp.Diff(found, live); err != nil || diff != "" {
				t.Errorf("%v, package function (-method +function):\n%s", err, diff)
			}
		})
	}
}
