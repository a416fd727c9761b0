package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// childEnv makes this test program the writer of the database that it names.
const childEnv = "HEADWATCH_STORE_TEST_WRITER"

const (
	resultsPerRun = 4
	killRounds    = 5
)

// writeForEver is a worker that says on standard output what it has stored, after
// it was stored.
func writeForEver(path string) error {
	ctx := context.Background()
	db, err := Open(ctx, path)
	if err != nil {
		return err
	}
	for {
		jobs, err := db.OpenJobs(ctx)
		if err != nil || len(jobs) == 0 {
			return errors.Join(err, db.Close(), errors.New("no jobs left"))
		}
		r, err := db.BeginRun(ctx, jobs[0], "child", time.Now())
		if err != nil {
			return err
		}
		fmt.Println("begun", r.ID)
		for i := range resultsPerRun {
			name := fmt.Sprintf("smoke/case%d", i)
			if err := db.AddResult(ctx, r.ID, suites.Result{Case: name, Status: suites.Passed}); err != nil {
				return err
			}
			fmt.Println("result", r.ID, name)
		}
		if err := db.FinishRun(ctx, ended(r, suites.Passed), nil); err != nil {
			return err
		}
		fmt.Println("finished", r.ID)
	}
}

// TestKilledWriterLosesNothing kills a writer again and again. What it reported
// is there, once; what it had in hand is done again by the next.
func TestKilledWriterLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "headwatch.db")
	db, err := Open(t.Context(), path)
	ok(t, err)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	var jobs []orchestrator.Job
	for i := range 300 {
		jobs = append(jobs, runJob(1, i))
	}
	plan(t, db, jobs...)
	ok(t, db.Close())

	reported := map[string]bool{}
	for round := range killRounds {
		for _, l := range killedAfter(t, path, rand.IntN(40), time.Duration(rand.IntN(3000))*time.Microsecond) {
			reported[l] = true
		}
		db, err := Open(t.Context(), path)
		ok(t, err)
		verifyReported(t, db, reported)
		if found, err := db.Check(t.Context()); err != nil || len(found) > 0 {
			t.Errorf("round %d: %v, %v", round, found, err)
		}
		ok(t, db.Close())
	}
	if len(reported) < killRounds {
		t.Errorf("only %d reports: the writers did nothing", len(reported))
	}
}

// killedAfter runs a writer until it has reported some lines and a little longer,
// and returns all that it reported.
func killedAfter(t *testing.T, path string, lines int, longer time.Duration) (out []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	reports := bufio.NewReader(pipe)
	for {
		text, err := reports.ReadString('\n')
		if err != nil {
			break // a line cut in the middle was not reported
		}
		out = append(out, strings.TrimSpace(text))
		if len(out) == lines+1 {
			// In the middle of a transaction, with luck.
			killer := time.AfterFunc(longer, func() { cmd.Process.Kill() })
			defer killer.Stop()
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return out
}

func verifyReported(t *testing.T, db *DB, reported map[string]bool) {
	t.Helper()
	stored := map[string]bool{}
	finished := 0
	runs, err := db.RunsOfBuild(t.Context(), buildID(1), 0)
	ok(t, err)
	for _, r := range runs {
		stored["begun "+r.ID] = true
		if r.State == orchestrator.RunFinished {
			stored["finished "+r.ID] = true
			finished++
		}
		results, err := db.Results(t.Context(), r.ID)
		ok(t, err)
		for _, res := range results {
			stored["result "+r.ID+" "+res.Case] = true
		}
	}
	for l := range reported {
		if !stored[l] {
			t.Errorf("lost: %s", l)
		}
	}
	v, err := db.View(t.Context(), upstream, target, testRig)
	ok(t, err)
	for k, n := range v.Tallies {
		if n.Passed != finished {
			t.Errorf("%s counts %d times in %d finished runs", k.Case, n.Passed, finished)
		}
	}
	if n, err := db.Counts(t.Context(), ""); err != nil || n.Runs != finished || n.Results.Passed != finished*resultsPerRun {
		t.Errorf("counted %+v, %v; want %d runs", n, err, finished)
	}
}
