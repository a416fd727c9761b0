package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// TestMain is also the process that the durability test kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := writeForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	upstream = "freebsd"
	target   = "amd64"
	machine  = "small"
)

// opened is a new database that is closed at the end of the test. Its clock
// stands still.
func opened(t testing.TB) *DB {
	t.Helper()
	return openedAt(t, filepath.Join(t.TempDir(), "headwatch.db"))
}

func openedAt(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	db.Now = func() time.Time { return epoch }
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testRig is the rig of every job of these tests.
var testRig = orchestrator.Rig{Salt: "salt", Digest: "0123456789ab"}

func hashOf(n int) string { return fmt.Sprintf("%040x", 0xc0ffee0000+n) }

func commitAt(n int) orchestrator.Commit {
	c := orchestrator.Commit{Upstream: upstream, Hash: hashOf(n), Position: n, Author: "A. Developer",
		Email: "a@example.org", Time: epoch.Add(time.Duration(n) * time.Minute), Subject: fmt.Sprintf("tcp: change %d", n)}
	if n > 1 {
		c.Parent = hashOf(n - 1)
	}
	return c
}

func buildID(n int) string { return fmt.Sprintf("%064x", 0xb000000000+n) }

// line stores commits 1 to n, each with inputs of its own.
func line(t testing.TB, db *DB, n int) {
	t.Helper()
	u := orchestrator.Update{Head: hashOf(n)}
	inputs := map[string]string{}
	for i := 1; i <= n; i++ {
		u.New = append(u.New, commitAt(i))
		inputs[hashOf(i)] = buildID(i)
	}
	ok(t, db.AddUpdate(t.Context(), upstream, u))
	ok(t, db.SetInputs(t.Context(), target, testRig.Salt, inputs))
}

func buildJob(n, try int) orchestrator.Job {
	return orchestrator.Job{ID: fmt.Sprintf("build-%d-%d", n, try), Kind: orchestrator.BuildJob,
		Commit: hashOf(n), Target: target, Build: buildID(n), Rig: testRig.Digest}
}

func runJob(n, repeat int) orchestrator.Job {
	return orchestrator.Job{ID: fmt.Sprintf("run-%d-%d", n, repeat), Kind: orchestrator.RunJob, Commit: hashOf(n),
		Target: target, Build: buildID(n), Image: imageOf(n), Machine: machine, Suite: "smoke", Layer: suites.Smoke,
		Rig: testRig.Digest, Repeat: repeat, Seed: 1<<63 + uint64(repeat)}
}

func imageOf(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func plan(t testing.TB, db *DB, jobs ...orchestrator.Job) {
	t.Helper()
	ok(t, db.Apply(t.Context(), orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest, Jobs: jobs}))
}

func buildOf(n int, s suites.Status) orchestrator.Build {
	b := orchestrator.Build{ID: buildID(n), Target: target, Commit: hashOf(n), Status: s, OS: "freebsd",
		Log: fmt.Sprintf("logs/%d.log", n), Duration: time.Minute, Finished: epoch}
	if s == suites.Passed {
		b.Image = imageOf(n)
	} else {
		b.Reason = "main.c:1: expected ;"
	}
	return b
}

// built plans a build of commit n and finishes it.
func built(t testing.TB, db *DB, n int, s suites.Status) {
	t.Helper()
	plan(t, db, buildJob(n, 0))
	ok(t, db.FinishBuild(t.Context(), buildJob(n, 0), buildOf(n, s)))
}

func begin(t testing.TB, db *DB, j orchestrator.Job) orchestrator.Run {
	t.Helper()
	r, err := db.BeginRun(t.Context(), j, "lab1", epoch)
	ok(t, err)
	return r
}

func add(t testing.TB, db *DB, run, name string, s suites.Status) {
	t.Helper()
	r := suites.Result{Case: name, Status: s, Duration: 20 * time.Millisecond}
	if s != suites.Passed {
		r.Reason = "saw 2, expected 3"
	}
	ok(t, db.AddResult(t.Context(), run, r))
}

func ended(r orchestrator.Run, s suites.Status) orchestrator.Run {
	r.State, r.Status, r.Finished = orchestrator.RunFinished, s, epoch.Add(time.Minute)
	r.BootID, r.Kernel, r.Accel, r.Monitor = "boot-1", "16.0-CURRENT", "tcg", "7.2.0"
	r.BootTime, r.Command, r.Console = 9*time.Second, "qemu-system-x86_64 -nodefaults", "consoles/"+r.ID+".zst"
	return r
}

// ran plans a run of commit n and carries it out with one result each.
func ran(t testing.TB, db *DB, n, repeat int, results map[string]suites.Status) orchestrator.Run {
	t.Helper()
	plan(t, db, runJob(n, repeat))
	r := begin(t, db, runJob(n, repeat))
	var all []suites.Status
	for name, s := range results {
		add(t, db, r.ID, name, s)
		all = append(all, s)
	}
	r = ended(r, suites.Summarize(all))
	ok(t, db.FinishRun(t.Context(), r, nil))
	return r
}
