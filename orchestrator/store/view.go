package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// View reads all that is known of a target on an upstream, as of one moment and as
// far as one rig saw it.
func (db *DB) View(ctx context.Context, upstream, target string, rig orchestrator.Rig) (v orchestrator.View, err error) {
	v = orchestrator.View{
		Upstream: upstream, Target: target, Rig: rig,
		Inputs:     map[string]string{},
		Selected:   map[string]orchestrator.Selection{},
		Stale:      map[string]bool{},
		Builds:     map[string]orchestrator.Build{},
		BuildTries: map[string]orchestrator.Tries{},
		Tallies:    map[orchestrator.TallyKey]verdict.Counts{},
		Runs:       map[orchestrator.RunKey]orchestrator.RunCounts{},
	}
	err = db.read(ctx, fmt.Sprintf("view of %s on %s", target, upstream), func(tx *sql.Tx) error {
		for _, part := range []func(context.Context, *sql.Tx, *orchestrator.View) error{
			viewLine, viewSelected, viewBuilds, viewTries, viewTallies, viewRuns, viewKnown,
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
	JOIN inputs i ON i.target = ? AND i.salt = ? AND i.commit_hash = c.hash
	WHERE c.upstream = ? AND c.on_line = 1 ORDER BY c.position`

func viewLine(ctx context.Context, tx *sql.Tx, v *orchestrator.View) (err error) {
	v.Line, err = list(ctx, tx, func(r row) (orchestrator.Commit, error) {
		var build string
		c, err := scanCommit(rowPlus{r, []any{&build}})
		v.Inputs[c.Hash] = build
		return c, err
	}, lineQuery, v.Target, v.Rig.Salt, v.Upstream)
	return err
}

const selectedQuery = `SELECT commit_hash, rig, reason, upto FROM selections WHERE upstream = ? AND target = ?`

func viewSelected(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		s := orchestrator.Selection{Target: v.Target}
		var rig string
		err := r.Scan(&s.Commit, &rig, &s.Reason, &s.Upto)
		if rig == v.Rig.Digest {
			v.Selected[s.Commit] = s
		} else {
			v.Stale[s.Commit] = true
		}
		return err
	}, selectedQuery, v.Upstream, v.Target)
}

const targetBuildsQuery = `SELECT ` + buildColumns + ` FROM builds b WHERE b.target = ?`

func viewBuilds(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		b, err := scanBuild(r)
		v.Builds[b.ID] = b
		return err
	}, targetBuildsQuery, v.Target)
}

// lastSelected is when a commit of a job's build was last selected.
const lastSelected = `coalesce((SELECT max(s.selected_at) FROM inputs i
	JOIN selections s ON s.upstream = ? AND s.target = i.target AND s.commit_hash = i.commit_hash AND s.rig = ?
	WHERE i.build = j.build), 0)`

const triesQuery = `SELECT j.build, count(*), sum(j.clean), sum(j.dropped = 0 AND j.done_at >= ` + lastSelected + `)
	FROM jobs j WHERE j.target = ? AND j.kind = 'build' AND j.done_at IS NOT NULL GROUP BY j.build`

// viewTries counts the build jobs that are done. All but the last of a build made
// nothing, or there would have been no other.
func viewTries(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var build string
		var n orchestrator.Tries
		err := r.Scan(&build, &n.Done, &n.Clean, &n.Futile)
		if s := v.Builds[build].Status; s != suites.Broken && s != suites.Skipped {
			n.Futile = 0
		}
		v.BuildTries[build] = n
		return err
	}, triesQuery, v.Upstream, v.Rig.Digest, v.Target)
}

const talliesQuery = `SELECT j.build, j.machine, s.case_name,
	sum(s.status IN ('passed', 'expected_failure')), sum(s.status = 'failed'),
	sum(s.status = 'broken'), sum(s.status = 'skipped')
	FROM jobs j CROSS JOIN builds b ON b.id = j.build AND b.image = j.image
	CROSS JOIN runs r ON r.job = j.id AND r.state = 'finished'
	CROSS JOIN results s ON s.run = r.id
	WHERE j.target = ? AND j.kind = 'run' AND j.rig = ? AND j.case_name = '' GROUP BY j.build, j.machine, s.case_name`

// viewTallies counts the results of finished runs on the build's image; a clean
// build may have replaced the one of earlier runs. The order of the joins is
// fixed: from a target's jobs, never from all results there are.
func viewTallies(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var k orchestrator.TallyKey
		var n verdict.Counts
		err := r.Scan(&k.Build, &k.Machine, &k.Case, &n.Passed, &n.Failed, &n.Broken, &n.Skipped)
		v.Tallies[k] = n
		return err
	}, talliesQuery, v.Target, v.Rig.Digest)
}

const runCountsQuery = `SELECT j.build, j.machine, j.suite, j.layer,
	count(r.id), coalesce(sum(r.status = 'broken'), 0),
	coalesce(sum(r.status = 'broken' AND r.finished >= ` + lastSelected + `), 0),
	sum(j.dropped = 0 AND b.id IS NOT NULL), sum(j.dropped = 1 OR b.id IS NULL)
	FROM jobs j LEFT JOIN builds b ON b.id = j.build AND b.image = j.image
	LEFT JOIN runs r ON r.job = j.id AND r.state = 'finished' AND b.id IS NOT NULL
	WHERE j.target = ? AND j.kind = 'run' AND j.rig = ? AND j.case_name = '' GROUP BY j.build, j.machine, j.suite, j.layer`

// viewRuns counts jobs and their finished runs; a job has at most one.
func viewRuns(ctx context.Context, tx *sql.Tx, v *orchestrator.View) error {
	return each(ctx, tx, func(r row) error {
		var k orchestrator.RunKey
		var layer suites.Layer
		var n orchestrator.RunCounts
		err := r.Scan(&k.Build, &k.Machine, &k.Suite, word{&layer}, &n.Finished, &n.Broken, &n.Recent, &n.Planned, &n.Dropped)
		k.Layer = layer
		v.Runs[k] = n
		return err
	}, runCountsQuery, v.Upstream, v.Rig.Digest, v.Target, v.Rig.Digest)
}
