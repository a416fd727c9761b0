package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// Point is one commit on one target.
type Point struct {
	Commit string
	Target string
	Build  orchestrator.Build // only ID is set while it has no outcome
	Runs   []RunTally         // newest first; commits with the same build have the same
}

// RunTally is a run with the number of its results.
type RunTally struct {
	Run    orchestrator.Run // running or finished
	Counts ResultCounts     // of the suite's own cases, without "boot"; none before it is finished
	Boot   suites.Status    // what the case "boot" said; 0: nothing yet
}

// maxGridRuns bounds the runs of a grid; the oldest are left out.
const maxGridRuns = 20 * maxRows

const (
	// A commit has inputs for each salt that it was seen with: the newest of which
	// there is a build, else the newest.
	gridBuildsQuery = `SELECT hash, target, build, known, origin, status, reason, image, os, log, duration, finished FROM (
		SELECT w.key AS place, i.commit_hash AS hash, i.target, i.build, b.id IS NOT NULL AS known,
			coalesce(b.commit_hash, '') AS origin, b.status,
			coalesce(b.reason, '') AS reason, coalesce(b.image, '') AS image, coalesce(b.os, '') AS os, coalesce(b.log, '') AS log,
			coalesce(b.duration, 0) AS duration, b.finished,
			row_number() OVER (PARTITION BY w.key, i.target ORDER BY b.id IS NULL, i.set_at DESC, i.build) AS rank
		FROM json_each(?) w CROSS JOIN inputs i ON i.commit_hash = w.value
		LEFT JOIN builds b ON b.id = i.build) WHERE rank = 1 ORDER BY place, target`
	gridRunsQuery = `SELECT ` + runColumns + `, r.passed, r.failed, r.broken, r.skipped, r.expected_failure, s.status
		FROM json_each(?) w CROSS JOIN jobs j ON j.build = w.value AND j.kind = 'run'
		CROSS JOIN runs r ON r.job = j.id AND r.state IN ('running', 'finished')
		LEFT JOIN results s ON s.run = r.id AND s.case_name = '` + orchestrator.CaseBoot + `'
		ORDER BY r.started DESC, r.id LIMIT ?`
)

// Grid says how far each of the commits is on every target for which its inputs
// are known, in the order of the commits and then by target. It looks at the
// first 1,000 commits.
func (db *DB) Grid(ctx context.Context, commits []string) (points []Point, err error) {
	err = db.read(ctx, "grid", func(tx *sql.Tx) error {
		wanted, err := json.Marshal(commits[:min(len(commits), maxRows)])
		if err != nil {
			return err
		}
		if points, err = list(ctx, tx, scanPoint, gridBuildsQuery, string(wanted)); err != nil {
			return err
		}
		runs, err := gridRuns(ctx, tx, points)
		for i, p := range points {
			points[i].Runs = runs[p.Build.ID]
		}
		return err
	})
	return points, err
}

func scanPoint(r row) (p Point, err error) {
	var known bool
	b := &p.Build
	err = r.Scan(&p.Commit, &p.Target, &b.ID, &known, &b.Commit, word{&b.Status}, &b.Reason, &b.Image, &b.OS, &b.Log,
		span{&b.Duration}, moment{&b.Finished})
	if known {
		b.Target = p.Target
	}
	return p, err
}

// gridRuns reads the runs of the points' builds, each build once.
func gridRuns(ctx context.Context, tx *sql.Tx, points []Point) (map[string][]RunTally, error) {
	runs := map[string][]RunTally{}
	var builds []string
	for _, p := range points {
		if _, seen := runs[p.Build.ID]; !seen {
			runs[p.Build.ID] = nil
			builds = append(builds, p.Build.ID)
		}
	}
	wanted, err := json.Marshal(builds)
	if err != nil {
		return nil, err
	}
	return runs, each(ctx, tx, func(r row) error {
		t, err := scanTally(r)
		runs[t.Run.Job.Build] = append(runs[t.Run.Job.Build], t)
		return err
	}, gridRunsQuery, string(wanted), maxGridRuns)
}

func scanTally(r row) (t RunTally, err error) {
	// The run's own columns first, then what this query adds.
	extra := append(t.Counts.dest(), word{&t.Boot})
	t.Run, err = scanRun(rowPlus{r, extra})
	if t.Run.State == orchestrator.RunFinished && t.Boot != 0 {
		*t.Counts.of(t.Boot)--
	}
	return t, err
}

const tallyQuery = `SELECT coalesce(sum(s.status IN ('passed', 'expected_failure')), 0),
	coalesce(sum(s.status = 'failed'), 0), coalesce(sum(s.status = 'broken'), 0), coalesce(sum(s.status = 'skipped'), 0)
	FROM jobs j CROSS JOIN runs r ON r.job = j.id AND r.state = 'finished'
	CROSS JOIN results s ON s.run = r.id AND s.case_name = ?
	WHERE j.build = ? AND j.kind = 'run' AND j.machine = ?`

// Tally counts the results of one case on one build and machine as View does.
func (db *DB) Tally(ctx context.Context, k orchestrator.TallyKey) (n verdict.Counts, err error) {
	err = db.read(ctx, fmt.Sprintf("tally of %s on build %s", k.Case, k.Build), func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, tallyQuery, k.Case, k.Build, k.Machine).Scan(&n.Passed, &n.Failed, &n.Broken, &n.Skipped)
	})
	return n, err
}

const imageTallyQuery = `SELECT coalesce(sum(s.status IN ('passed', 'expected_failure')), 0),
	coalesce(sum(s.status = 'failed'), 0), coalesce(sum(s.status = 'broken'), 0), coalesce(sum(s.status = 'skipped'), 0)
	FROM builds b CROSS JOIN jobs j ON j.build = b.id AND j.kind = 'run' AND j.image = b.image
	CROSS JOIN runs r ON r.job = j.id AND r.state = 'finished'
	CROSS JOIN results s ON s.run = r.id AND s.case_name = ?
	WHERE b.target = ? AND b.image = ? AND j.machine = ?`

// ImageTally counts the results of one case on one machine for all builds of a target
// that made the same image: what one of them tells, all do.
func (db *DB) ImageTally(ctx context.Context, target, image, machine, name string) (n verdict.Counts, err error) {
	err = db.read(ctx, fmt.Sprintf("tally of %s on image %s", name, image), func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, imageTallyQuery, name, target, image, machine).Scan(&n.Passed, &n.Failed, &n.Broken, &n.Skipped)
	})
	return n, err
}
