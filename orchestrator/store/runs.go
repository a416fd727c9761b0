package store

import (
	"context"
	"database/sql"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

const (
	runPrefixQuery = `SELECT ` + runColumns + ` FROM runs r JOIN jobs j ON j.id = r.job
		WHERE r.id >= ?1 AND r.id < ?1 || ?2 ORDER BY r.id = ?1 DESC, r.id LIMIT 2`
	runsOfBuildQuery = `SELECT ` + runColumns + ` FROM jobs j JOIN runs r ON r.job = j.id
		WHERE j.build = ? AND j.kind = 'run' ORDER BY r.started DESC, r.id LIMIT ?`
	runningRunsQuery = `SELECT ` + runColumns + ` FROM runs r CROSS JOIN jobs j ON j.id = r.job
		WHERE r.state = 'running' ORDER BY r.started, r.id LIMIT ?`
	recentRunsQuery = `SELECT ` + runColumns + ` FROM runs r CROSS JOIN jobs j ON j.id = r.job
		WHERE r.state = 'finished' ORDER BY r.finished DESC, r.id LIMIT ?`
	resultsQuery = `SELECT s.case_name, s.status, s.reason, s.output, s.duration FROM results s
		WHERE s.run = ? ORDER BY s.n LIMIT ?`
	metricsQuery = `SELECT case_name, name, value FROM metrics WHERE run = ?`
	// maxResults bounds the results shown of one run: of every suite of ours, and
	// of the biggest test programs that one run can hold.
	maxResults = 20 * maxRows
)

// Run finds a run by its id or the start of one, in whatever state it is.
func (db *DB) Run(ctx context.Context, prefix string) (r orchestrator.Run, err error) {
	err = db.read(ctx, "run "+prefix, func(tx *sql.Tx) error {
		matches, err := list(ctx, tx, scanRun, runPrefixQuery, prefix, afterPrefix)
		if err != nil {
			return err
		}
		r, err = only(prefix, matches, func(r orchestrator.Run) string { return r.ID })
		return err
	})
	return r, err
}

// Results lists what a run's cases said, in the order in which they said it.
func (db *DB) Results(ctx context.Context, run string) (out []suites.Result, err error) {
	err = db.read(ctx, "results of run "+run, func(tx *sql.Tx) error {
		metrics := map[string]map[string]float64{}
		if err := each(ctx, tx, func(r row) error {
			var name, metric string
			var value float64
			err := r.Scan(&name, &metric, &value)
			if metrics[name] == nil {
				metrics[name] = map[string]float64{}
			}
			metrics[name][metric] = value
			return err
		}, metricsQuery, run); err != nil {
			return err
		}
		out, err = list(ctx, tx, func(r row) (s suites.Result, err error) {
			err = r.Scan(&s.Case, word{&s.Status}, &s.Reason, &s.Output, span{&s.Duration})
			s.Metrics = metrics[s.Case]
			return s, err
		}, resultsQuery, run, maxResults)
		return err
	})
	return out, err
}

// RunsOfBuild lists all attempts of the runs of a build, newest first.
func (db *DB) RunsOfBuild(ctx context.Context, build string, limit int) ([]orchestrator.Run, error) {
	return db.runs(ctx, "runs of build "+build, runsOfBuildQuery, build, limited(limit))
}

// RunningRuns lists the runs under way, oldest first.
func (db *DB) RunningRuns(ctx context.Context) ([]orchestrator.Run, error) {
	return db.runs(ctx, "running runs", runningRunsQuery, maxRows)
}

// RecentRuns lists finished runs, the last to finish first.
func (db *DB) RecentRuns(ctx context.Context, limit int) ([]orchestrator.Run, error) {
	return db.runs(ctx, "recent runs", recentRunsQuery, limited(limit))
}

func (db *DB) runs(ctx context.Context, what, query string, args ...any) (out []orchestrator.Run, err error) {
	err = db.read(ctx, what, func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanRun, query, args...)
		return err
	})
	return out, err
}
