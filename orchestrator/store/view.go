package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// View reads all that is known of a target on an upstream, as of one moment.
func (db *DB) View(ctx context.Context, upstream, target string) (v orchestrator.View, err error) {
	v = orchestrator.View{
		Upstream: upstream, Target: target,
		Inputs:     map[string]string{},
		Selected:   map[string]orchestrator.Reason{},
		Builds:     map[string]orchestrator.Build{},
		BuildTries: map[string]int{},
		Tallies:    map[orchestrator.TallyKey]verdict.Counts{},
		Runs:       map[orchestrator.RunKey]orchestrator.RunCounts{},
	}
	err = db.read(ctx, fmt.Sprintf("view of %s on %s", target, upstream), func(tx *sql.Tx) error {
		for _, part := range []func(context.Context, *sql.Tx, *orchestrator.View) error{
			viewLine, viewSelected, viewBuilds, viewTallies, viewRuns,
		} {
			if err := part(ctx, tx, &v); err != nil {
				return err
			}
		}
		v.Regressions, err = list(ctx, tx, scanRegression, viewRegressionsQuery, upstream, target)
		return err
	})
	return v, err
}

const viewRegressionsQuery = `SELECT ` + regressionColumns + ` FROM regressions g
	WHERE g.upstream = ? AND g.target = ? ORDER BY g.id`

const lineQuery = `SELECT ` + commitColumns + `, i.build FROM commits c
	JOIN inputs i ON i.target = ? AND i.commit_hash = c.hash
	WHERE c.upstream = ? AND c.on_line = 1 ORDER BY c.position`

func viewLine(ctx context.Context, tx *sql.Tx, v *orchestrator.View) (err error) {
	v.Line, err = list(ctx, tx, func(r row) (orchestrator.Commit, error) {
		var build string
		c, err := scanCommit(rowPlus{r, []any{&build}})
		v.Inputs[c.Hash] = build
		return c, err
	}, lineQuery, v.Target, v.Upstream)
	return err
}

const selectedQuery = `SELECT commit_hash, reason FROM selections WHERE upstream = ? AND target = ?`

func viewSelected(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var hash string
		var why orchestrator.Reason
		err := r.Scan(&hash, &why)
		v.Selected[hash] = why
		return err
	}, selectedQuery, v.Upstream, v.Target)
}

const targetBuildsQuery = `SELECT ` + buildColumns + `, b.tries FROM builds b WHERE b.target = ?`

func viewBuilds(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var tries int
		b, err := scanBuild(rowPlus{r, []any{&tries}})
		v.Builds[b.ID] = b
		if tries > 0 {
			v.BuildTries[b.ID] = tries
		}
		return err
	}, targetBuildsQuery, v.Target)
}

const talliesQuery = `SELECT j.build, j.machine, s.case_name,
	sum(s.status IN ('passed', 'expected_failure')), sum(s.status = 'failed'),
	sum(s.status = 'broken'), sum(s.status = 'skipped')
	FROM jobs j CROSS JOIN runs r ON r.job = j.id AND r.state = 'finished'
	CROSS JOIN results s ON s.run = r.id
	WHERE j.target = ? AND j.kind = 'run' GROUP BY j.build, j.machine, s.case_name`

// viewTallies counts the results of finished runs. The order of the joins is
// fixed: from a target's jobs, never from all results there are.
func viewTallies(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var k orchestrator.TallyKey
		var n verdict.Counts
		err := r.Scan(&k.Build, &k.Machine, &k.Case, &n.Passed, &n.Failed, &n.Broken, &n.Skipped)
		v.Tallies[k] = n
		return err
	}, talliesQuery, v.Target)
}

const runCountsQuery = `SELECT j.build, j.machine, j.suite, j.layer,
	count(r.id), coalesce(sum(r.status = 'broken'), 0), count(*)
	FROM jobs j LEFT JOIN runs r ON r.job = j.id AND r.state = 'finished'
	WHERE j.target = ? AND j.kind = 'run' GROUP BY j.build, j.machine, j.suite, j.layer`

// viewRuns counts jobs and their finished runs; a job has at most one.
func viewRuns(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var k orchestrator.RunKey
		var layer suites.Layer
		var n orchestrator.RunCounts
		err := r.Scan(&k.Build, &k.Machine, &k.Suite, word{&layer}, &n.Finished, &n.Broken, &n.Planned)
		k.Layer = layer
		v.Runs[k] = n
		return err
	}, runCountsQuery, v.Target)
}
