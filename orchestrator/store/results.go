package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// AddResult stores one result of a running attempt. The first thing that a case
// said in a run is kept: the same case again changes nothing. It returns
// ErrJobDone or ErrAbandoned when the run does not take results any more.
func (db *DB) AddResult(ctx context.Context, run string, r suites.Result) error {
	return db.write(ctx, fmt.Sprintf("store result %s of run %s", r.Case, run), func(tx *sql.Tx) error {
		status, err := r.Status.MarshalText()
		if err != nil {
			return err
		}
		state, err := runState(ctx, tx, run)
		if err != nil {
			return err
		}
		var known bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM results WHERE run = ? AND case_name = ?)`,
			run, r.Case).Scan(&known); err != nil {
			return err
		}
		switch {
		case state == orchestrator.RunAbandoned:
			return superseded(ctx, tx, run)
		case known:
			return nil
		case state == orchestrator.RunFinished:
			return orchestrator.ErrJobDone
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO results (run, n, case_name, status, reason, output, duration)
			VALUES (?1, (SELECT coalesce(max(n), 0) + 1 FROM results WHERE run = ?1), ?2, ?3, ?4, ?5, ?6)`,
			run, r.Case, string(status), bounded(r.Reason, maxReason), bounded(r.Output, maxOutput), max(0, r.Duration).Microseconds()); err != nil {
			return err
		}
		return addMetrics(ctx, tx, run, r)
	})
}

// addMetrics stores what a case measured. A value that is not finite is no
// measurement, and absent is how that is said.
func addMetrics(ctx context.Context, tx *sql.Tx, run string, r suites.Result) error {
	for name, value := range r.Metrics {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO metrics (run, case_name, name, value) VALUES (?, ?, ?, ?)`,
			run, r.Case, name, value); err != nil {
			return fmt.Errorf("metric %s: %w", name, err)
		}
	}
	return nil
}

func runState(ctx context.Context, tx *sql.Tx, run string) (s orchestrator.RunState, err error) {
	err = tx.QueryRowContext(ctx, `SELECT state FROM runs WHERE id = ?`, run).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return s, ErrNotFound
	}
	return s, err
}

// superseded says why an abandoned run is not listened to.
func superseded(ctx context.Context, tx *sql.Tx, run string) error {
	var done bool
	err := tx.QueryRowContext(ctx, `SELECT j.done_at IS NOT NULL FROM runs r JOIN jobs j ON j.id = r.job WHERE r.id = ?`, run).Scan(&done)
	switch {
	case err != nil:
		return err
	case done:
		return orchestrator.ErrJobDone
	}
	return orchestrator.ErrAbandoned
}

// FinishRun stores a run's end, its crashes and its artifacts and ends the job. A finished run
// stays as it is. A run that was abandoned gets ErrJobDone when another attempt
// has finished the job, ErrAbandoned while one is under way. Only a broken run
// may have no results: silence is not success.
func (db *DB) FinishRun(ctx context.Context, r orchestrator.Run, crashes []orchestrator.Crash, artifacts ...orchestrator.Artifact) error {
	return db.write(ctx, "finish run "+r.ID, func(tx *sql.Tx) error {
		state, err := runState(ctx, tx, r.ID)
		switch {
		case err != nil:
			return err
		case state == orchestrator.RunFinished:
			return nil
		case state == orchestrator.RunAbandoned:
			return superseded(ctx, tx, r.ID)
		}
		if err := endRun(ctx, tx, r); err != nil {
			return err
		}
		if err := addCrashes(ctx, tx, r.ID, crashes); err != nil {
			return err
		}
		if err := addArtifacts(ctx, tx, r.ID, artifacts); err != nil {
			return err
		}
		var job string
		if err := tx.QueryRowContext(ctx, `SELECT job FROM runs WHERE id = ?`, r.ID).Scan(&job); err != nil {
			return err
		}
		return db.endJob(ctx, tx, job)
	})
}

func endRun(ctx context.Context, tx *sql.Tx, r orchestrator.Run) error {
	status, err := r.Status.MarshalText()
	if err != nil {
		return err
	}
	if r.Finished.IsZero() {
		return errors.New("the run has no end")
	}
	var n ResultCounts
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(status = 'passed'), 0), coalesce(sum(status = 'failed'), 0),
		coalesce(sum(status = 'broken'), 0), coalesce(sum(status = 'skipped'), 0),
		coalesce(sum(status = 'expected_failure'), 0) FROM results WHERE run = ?`, r.ID).Scan(n.dest()...); err != nil {
		return err
	}
	if n.Total() == 0 && r.Status != suites.Broken {
		return fmt.Errorf("a run without results cannot be %s", r.Status)
	}
	_, err = tx.ExecContext(ctx, `UPDATE runs SET state = 'finished', status = ?, reason = ?, finished = ?, boot_id = ?,
		kernel = ?, accel = ?, monitor = ?, boot_time = ?, command = ?, console = ?,
		passed = ?, failed = ?, broken = ?, skipped = ?, expected_failure = ? WHERE id = ?`,
		string(status), bounded(r.Reason, maxReason), stamp(r.Finished), bounded(r.BootID, maxLine),
		bounded(r.Kernel, maxLine), bounded(r.Accel, maxLine), bounded(r.Monitor, maxLine), r.BootTime.Microseconds(),
		bounded(r.Command, maxText), r.Console, n.Passed, n.Failed, n.Broken, n.Skipped, n.ExpectedFailure, r.ID)
	return err
}
