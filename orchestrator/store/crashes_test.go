package store

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// crashed carries out a run of commit n that ended at a minute with crashes.
func crashed(t testing.TB, db *DB, n, repeat, minute int, crashes ...orchestrator.Crash) orchestrator.Run {
	t.Helper()
	plan(t, db, runJob(n, repeat))
	r := begin(t, db, runJob(n, repeat))
	add(t, db, r.ID, "boot", suites.Passed)
	r = ended(r, suites.Passed)
	r.Finished = epoch.Add(time.Duration(minute) * time.Minute)
	for i := range crashes {
		crashes[i].Run = r.ID
	}
	ok(t, db.FinishRun(t.Context(), r, crashes))
	return r
}

func reversal(text string) orchestrator.Crash {
	return orchestrator.Crash{Title: "lock order reversal: a after b", Signature: "aa11", Kind: "lock_order", Where: "sys/kern/a.c:7", Text: text,
		Frames: []orchestrator.Frame{{Func: "inner", File: "sys/kern/a.c", Line: 7, Inlined: true}, {Func: "outer", File: "sys/kern/a.c", Line: 9}, {Func: "by_hand"}}}
}

// What is known of a signature goes by the line's order, not by when commits were
// looked at: a search goes back and forth.
func TestKnownCrashes(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 9)
	panicked := orchestrator.Crash{Title: "panic: x", Signature: "bb22", Kind: "fatal", Text: "panic: x"}
	crashed(t, db, 5, 0, 10, reversal("first"))
	crashed(t, db, 8, 0, 20, reversal("second"), panicked)
	last := crashed(t, db, 3, 0, 30, reversal("last"))
	crashed(t, db, 4, 0, 40)

	want := orchestrator.KnownCrash{Crash: reversal("last"), Runs: 3, First: epoch.Add(10 * time.Minute), Last: epoch.Add(30 * time.Minute),
		Places: []orchestrator.CrashPlace{{Upstream: upstream, Target: target, Runs: 3, First: hashOf(3), Last: hashOf(8)}}}
	want.Run = last.ID
	got, err := db.Crash(ctx, "aa11")
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v, known (-want +got):\n%s", err, d)
	}
	all, err := db.Crashes(ctx, 0)
	if err != nil || len(all) != 2 || !cmp.Equal(all[0], want) || all[1].Signature != "bb22" || all[1].Runs != 1 {
		t.Errorf("%v, all: %+v", err, all)
	}
	if one, err := db.Crashes(ctx, 1); err != nil || len(one) != 1 || one[0].Signature != "aa11" {
		t.Errorf("%v, the newest: %+v", err, one)
	}
	runs, err := db.CrashRuns(ctx, "aa11", 2)
	if err != nil || len(runs) != 2 || runs[0].ID != last.ID || runs[1].Job.Commit != hashOf(8) {
		t.Errorf("%v, runs: %+v", err, runs)
	}
	if k, err := db.Crash(ctx, "bb"); err != nil || k.Signature != "bb22" {
		t.Errorf("by the start: %+v, %v", k, err)
	}
	for _, none := range []string{"", "cc", "%", "aa111"} {
		if _, err := db.Crash(ctx, none); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", none, err)
		}
	}
	crashed(t, db, 1, 0, 50, orchestrator.Crash{Title: "y", Signature: "aa12"})
	if _, err := db.Crash(ctx, "aa"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("the start of two: %v", err)
	}
	if found, err := db.Check(ctx); err != nil || len(found) > 0 {
		t.Errorf("check: %v, %v", found, err)
	}
}

// A commit that left the line has no place on it; one that two upstreams share has
// one on each.
func TestCrashesOffTheLine(t *testing.T) {
	db := opened(t)
	ctx := t.Context()
	line(t, db, 3)
	fork := commitAt(2)
	fork.Upstream, fork.Position = "fork", 40
	ok(t, db.AddUpdate(ctx, "fork", orchestrator.Update{New: []orchestrator.Commit{fork}}))
	crashed(t, db, 2, 0, 1, reversal(""))
	crashed(t, db, 3, 0, 2, reversal(""))
	places := func() []orchestrator.CrashPlace {
		t.Helper()
		k, err := db.Crash(ctx, "aa11")
		ok(t, err)
		return k.Places
	}
	both := []orchestrator.CrashPlace{
		{Upstream: "fork", Target: target, Runs: 1, First: hashOf(2), Last: hashOf(2)},
		{Upstream: upstream, Target: target, Runs: 2, First: hashOf(2), Last: hashOf(3)},
	}
	if d := cmp.Diff(both, places()); d != "" {
		t.Errorf("on both lines (-want +got):\n%s", d)
	}
	ok(t, db.AddUpdate(ctx, upstream, orchestrator.Update{Dropped: []string{hashOf(3)}, Head: hashOf(2)}))
	ok(t, db.AddUpdate(ctx, "fork", orchestrator.Update{Dropped: []string{hashOf(2)}}))
	off := []orchestrator.CrashPlace{
		{Target: target, Runs: 1}, // the job does not say for which upstream it was
		{Upstream: upstream, Target: target, Runs: 1, First: hashOf(2), Last: hashOf(2)},
	}
	if d := cmp.Diff(off, places()); d != "" {
		t.Errorf("after a force-push (-want +got):\n%s", d)
	}
}

// The database takes every kind that there is, and bounds what a guest decides.
func TestCrashesAreTaken(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	var crashes []orchestrator.Crash
	for k := runners.KindFatal; !strings.HasPrefix(k.String(), "invalid"); k++ {
		crashes = append(crashes, orchestrator.Crash{Title: k.String(), Signature: k.String(), Kind: k.String()})
	}
	long := strings.Repeat("f\xff", maxLine)
	crashes = append(crashes, orchestrator.Crash{Signature: "long", Where: long})
	for range 2 * maxFrames {
		crashes[len(crashes)-1].Frames = append(crashes[len(crashes)-1].Frames, orchestrator.Frame{Func: long, File: long})
	}
	r := crashed(t, db, 1, 0, 1, crashes...)
	kept, err := db.RunCrashes(t.Context(), r.ID)
	if err != nil || len(kept) != len(crashes) || len(kept) < 15 {
		t.Fatalf("%d of %d crashes, %v", len(kept), len(crashes), err)
	}
	last := kept[len(kept)-1]
	if len(last.Where) > maxLine || len(last.Frames) != maxFrames || len(last.Frames[0].Func) > maxLine {
		t.Errorf("kept %d bytes and %d frames", len(last.Where), len(last.Frames))
	}
}

// A database of the first release is brought up to date, and what it holds stays.
func TestMigrationKeepsCrashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "headwatch.db")
	steps, err := migrations(migrationFiles)
	ok(t, err)
	raw, err := sql.Open("sqlite3", path)
	ok(t, err)
	_, err = raw.Exec(steps[0].SQL + fmt.Sprintf(`; PRAGMA user_version = 1;
		INSERT INTO commits VALUES ('%[1]s', '%[2]s', '', 7, 'a', 'a@example.org', 1, 'tcp: change', 1, 1);
		INSERT INTO jobs (id, payload, created, done_at) VALUES ('run-1', json_object('id', 'run-1', 'kind', 'run', 'upstream', '%[1]s',
			'commit', '%[2]s', 'target', 'amd64', 'build', 'b', 'machine', 'small', 'suite', 'smoke', 'layer', 'smoke'), 1, 2);
		INSERT INTO runs (id, job, attempt, state, status, host, started, finished, failed)
			VALUES ('0123456789ab', 'run-1', 1, 'finished', 'failed', 'lab1', 1, 2, 1);
		INSERT INTO results VALUES ('0123456789ab', 1, 'boot', 'failed', 'panic', '', 1);
		INSERT INTO crashes VALUES ('0123456789ab', 1, 'panic: old', 'aa11', 'panic: old\ntext'), ('0123456789ab', 2, 'lor', 'bb22', '');
	`, upstream, hashOf(7)))
	ok(t, errors.Join(err, raw.Close()))

	db := openedAt(t, path)
	crashes, err := db.RunCrashes(t.Context(), "0123456789ab")
	want := []orchestrator.Crash{{Run: "0123456789ab", Title: "panic: old", Signature: "aa11", Text: `panic: old\ntext`},
		{Run: "0123456789ab", Title: "lor", Signature: "bb22"}}
	if d := cmp.Diff(want, crashes); d != "" || err != nil {
		t.Errorf("%v, crashes (-want +got):\n%s", err, d)
	}
	known, err := db.Crash(t.Context(), "aa11")
	places := []orchestrator.CrashPlace{{Upstream: upstream, Target: target, Runs: 1, First: hashOf(7), Last: hashOf(7)}}
	if err != nil || !cmp.Equal(known.Places, places) || known.Last != time.UnixMicro(2).UTC() {
		t.Errorf("known %+v, %v", known, err)
	}
	var version int
	ok(t, db.w.QueryRow(`PRAGMA user_version`).Scan(&version))
	if found, err := db.Check(t.Context()); err != nil || len(found) > 0 || version != len(steps) {
		t.Errorf("version %d, check: %v, %v", version, found, err)
	}
}

func BenchmarkCrashes(b *testing.B) {
	db := opened(b)
	populate(b, db, 5000, 1)
	// Five reports in each of 20,000 runs, and 300 that were seen once.
	_, err := db.w.Exec(`INSERT INTO crashes (run, n, title, signature, text)
		SELECT r.id, k.value, 'lock order reversal', 'sig' || k.value, printf('%.4000c', 'x') FROM runs r, json_each('[1,2,3,4,5]') k;
		INSERT INTO crashes (run, n, title, signature, text) SELECT r.id, 6, 'once', 'once' || r.id, '' FROM runs r LIMIT 300`)
	ok(b, err)
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if all, err := db.Crashes(b.Context(), 200); err != nil || len(all) != 200 {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if k, err := db.Crash(b.Context(), "sig1"); err != nil || k.Runs != 20000 {
				b.Fatal(k.Runs, err)
			}
		}
	})
}
