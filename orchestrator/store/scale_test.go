package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// populate makes n commits with a build each and four finished runs per build,
// each with the given number of results, in statements of SQL.
func populate(t testing.TB, db *DB, n, results int) {
	t.Helper()
	line(t, db, n)
	_, err := db.w.Exec(fmt.Sprintf(`
		INSERT INTO selections SELECT upstream, 'amd64', hash, '0123456789ab', 'every', 0, 1 FROM commits;
		INSERT INTO builds SELECT i.build, i.target, i.commit_hash, 'passed', '', 'sha256:1', 'freebsd', 0, 'logs/x.log', 1, 1 FROM inputs i;
		INSERT INTO jobs (id, payload, created, done_at) SELECT 'build-' || i.build,
			json_object('id', 'build-' || i.build, 'kind', 'build', 'commit', i.commit_hash, 'target', i.target, 'build', i.build), 1, 2 FROM inputs i;
		INSERT INTO jobs (id, payload, created, done_at) SELECT 'run-' || i.build || '-' || k.value,
			json_object('id', 'run-' || i.build || '-' || k.value, 'kind', 'run', 'commit', i.commit_hash, 'target', i.target,
				'build', i.build, 'machine', 'small', 'image', 'sha256:1', 'suite', 'smoke', 'layer', 'smoke', 'rig', '0123456789ab', 'repeat', k.value), 1, 2
			FROM inputs i, json_each('[0,1,2,3]') k;
		INSERT INTO runs (id, job, attempt, state, status, host, started, finished, passed)
			SELECT printf('%%012x', seq * 7919), id, 1, 'finished', 'passed', 'lab1', seq, seq + 1, %[1]d FROM jobs WHERE kind = 'run';
		WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < %[1]d)
		INSERT INTO results SELECT r.id, k.n, 'smoke/case' || k.n, 'passed', '', '', 1000 FROM runs r, k;
	`, results))
	ok(t, err)
}

// TestQueryPlans keeps every query of the dashboard and of planning off full
// scans of the tables that grow.
func TestQueryPlans(t *testing.T) {
	db := opened(t)
	queries := map[string]struct {
		query string
		args  int
	}{
		"head":            {headQuery, 1},
		"unresolved":      {unresolvedQuery, 4},
		"line":            {lineQuery, 3},
		"selected":        {selectedQuery, 2},
		"target builds":   {targetBuildsQuery, 1},
		"tallies":         {talliesQuery, 2},
		"run counts":      {runCountsQuery, 4},
		"build tries":     {triesQuery, 3},
		"unreported":      {unreportedQuery, 2},
		"open jobs":       {openJobsQuery, 0},
		"evidence":        {evidenceQuery, 3},
		"tally":           {tallyQuery, 3},
		"tally of image":  {imageTallyQuery, 4},
		"upstreams":       {upstreamsQuery, 0},
		"recent commits":  {recentCommitsQuery, 3},
		"commit":          {commitQuery, 2},
		"commit's builds": {commitBuildsQuery, 2},
		"build":           {buildPrefixQuery, 2},
		"verdicts":        {verdictsQuery, 2},
		"run":             {runPrefixQuery, 2},
		"runs of build":   {runsOfBuildQuery, 2},
		"running runs":    {runningRunsQuery, 1},
		"recent runs":     {recentRunsQuery, 1},
		"results":         {resultsQuery, 2},
		"metrics":         {metricsQuery, 1},
		"crashes of run":  {crashesQuery, 1},
		"signatures":      {signaturesQuery, 1},
		"signature":       {signatureQuery, 2},
		"last crash":      {lastCrashQuery, 1},
		"crash places":    {crashPlacesQuery, 2},
		"crash runs":      {crashRunsQuery, 2},
		"grid builds":     {gridBuildsQuery, 1},
		"grid runs":       {gridRunsQuery, 2},
		"regression":      {regressionQuery, 1},
		"same regression": {sameRegressionQuery, 7},
	}
	for i, q := range countQueries.all {
		queries[fmt.Sprintf("count %d", i)] = struct {
			query string
			args  int
		}{q, 0}
	}
	for i, q := range countQueries.upstream {
		queries[fmt.Sprintf("count %d of an upstream", i)] = struct {
			query string
			args  int
		}{q, 1}
	}
	// Walking an index of few rows, in order up to a limit, or whole to count it,
	// is no scan of a table.
	scan := regexp.MustCompile(`^SCAN (commits|inputs|selections|jobs|builds|runs|results|metrics|crashes|verdicts|[cijbrsx])\b`)
	harmless := regexp.MustCompile(`USING (COVERING )?INDEX (jobs_open|runs_running)|^SCAN r USING COVERING INDEX runs_finished$|^SCAN commits USING COVERING INDEX commits_line$|^SCAN builds USING COVERING INDEX|^SCAN c USING COVERING INDEX crashes_by_signature$`)
	for name, q := range queries {
		for _, step := range planOf(t, db, q.query, q.args) {
			inOrder := name == "recent runs" && step == "SCAN r USING INDEX runs_finished"
			if scan.MatchString(step) && !harmless.MatchString(step) && !inOrder {
				t.Errorf("%s: %s", name, step)
			}
		}
	}
	for name, q := range map[string]string{"recent commits": recentCommitsQuery, "recent runs": recentRunsQuery} {
		if plan := strings.Join(planOf(t, db, q, strings.Count(q, "?")), "\n"); strings.Contains(plan, "ORDER BY") && !strings.Contains(plan, "LAST TERM") {
			t.Errorf("%s sorts instead of reading in order:\n%s", name, plan)
		}
	}
}

func planOf(t *testing.T, db *DB, query string, args int) (steps []string) {
	t.Helper()
	rows, err := db.r.Query(`EXPLAIN QUERY PLAN `+query, make([]any, args)...)
	ok(t, err)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		ok(t, rows.Scan(&id, &parent, &unused, &detail))
		steps = append(steps, detail)
	}
	ok(t, rows.Err())
	return steps
}

// TestReadersDuringWrites has readers look at a store in which a writer finishes
// runs: each view must be of one moment, in which runs are whole.
func TestReadersDuringWrites(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				v, err := db.View(t.Context(), upstream, target, testRig)
				if err != nil {
					t.Error(err)
					return
				}
				runs := v.Runs[orchestrator.RunKey{Build: buildID(1), Machine: machine, Suite: "smoke", Layer: suites.Smoke}].Finished
				for k, n := range v.Tallies {
					if n.Passed != runs || runs < last {
						t.Errorf("%s: %d results in %d finished runs, after %d", k.Case, n.Passed, runs, last)
					}
				}
				last = runs
			}
		})
	}
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := range 15 {
				ran(t, db, 1, w*1000+i, map[string]suites.Status{"boot": suites.Passed, "smoke/a": suites.Passed})
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if n, err := db.Counts(t.Context(), ""); err != nil || n.Runs != 30 || n.Results.Passed != 60 {
		t.Errorf("counts %+v, %v", n, err)
	}
}

// TestDamageInside overwrites pages behind the header: such a file opens, and
// both the check and whoever reads the page must say so.
func TestDamageInside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "headwatch.db")
	db, err := Open(t.Context(), path)
	ok(t, err)
	populate(t, db, 50, 3)
	ok(t, db.Close())
	content, err := os.ReadFile(path)
	ok(t, err)
	half := len(content) / 2
	ok(t, os.WriteFile(path, append(bytes.Clone(content[:half]), bytes.Repeat([]byte{0x55}, len(content)-half)...), 0o644))
	found, err := Check(t.Context(), path)
	if err != nil || len(found) == 0 {
		t.Errorf("check found %v, %v", found, err)
	}
	db = openedAt(t, path)
	if _, err := db.View(t.Context(), upstream, target, testRig); err == nil || !strings.Contains(err.Error(), "run `headwatch fsck`") {
		t.Errorf("reading damaged pages: %v", err)
	}
}

func BenchmarkView(b *testing.B) {
	db := opened(b)
	populate(b, db, 5000, 8)
	for b.Loop() {
		v, err := db.View(b.Context(), upstream, target, testRig)
		if err != nil || len(v.Line) != 5000 || len(v.Tallies) != 40000 {
			b.Fatal(len(v.Line), len(v.Tallies), err)
		}
	}
}

func BenchmarkCounts(b *testing.B) {
	db := opened(b)
	populate(b, db, 5000, 8)
	for _, name := range []string{"", upstream} {
		b.Run("upstream="+name, func(b *testing.B) {
			for b.Loop() {
				if n, err := db.Counts(b.Context(), name); err != nil || n.Results.Passed != 160000 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkGrid50(b *testing.B) {
	db := opened(b)
	populate(b, db, 5000, 8)
	var commits []string
	for i := range 50 {
		commits = append(commits, hashOf(5000-i))
	}
	for b.Loop() {
		if g, err := db.Grid(b.Context(), commits); err != nil || len(g) != 50 || len(g[49].Runs) != 4 {
			b.Fatal(len(g), err)
		}
	}
}

func BenchmarkAddResult(b *testing.B) {
	db := opened(b)
	line(b, db, 1)
	built(b, db, 1, suites.Passed)
	plan(b, db, runJob(1, 0))
	r := begin(b, db, runJob(1, 0))
	n := 0
	for b.Loop() {
		n++
		add(b, db, r.ID, fmt.Sprintf("smoke/case%d", n), suites.Passed)
	}
}
