package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// openJob reads a job that is to be worked on: ErrJobDone when it has its
// outcome, ErrUnknownJob when it was never planned.
func openJob(ctx context.Context, tx *sql.Tx, id string, kind orchestrator.JobKind) (j orchestrator.Job, err error) {
	var done bool
	err = tx.QueryRowContext(ctx, `SELECT payload, done_at IS NOT NULL FROM jobs WHERE id = ?`, id).Scan(document{&j}, &done)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return j, orchestrator.ErrUnknownJob
	case err != nil:
		return j, err
	case j.Kind != kind:
		return j, fmt.Errorf("is a %s job, not a %s job", j.Kind, kind)
	case done:
		return j, orchestrator.ErrJobDone
	}
	return j, nil
}

func (db *DB) endJob(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET done_at = ? WHERE id = ? AND done_at IS NULL`, stamp(db.Now()), id)
	return err
}

// BeginBuild starts the next attempt of a build job and says which it is, from 1.
func (db *DB) BeginBuild(ctx context.Context, j orchestrator.Job) (attempt int, err error) {
	err = db.write(ctx, "begin job "+j.ID, func(tx *sql.Tx) error {
		if _, err := openJob(ctx, tx, j.ID, orchestrator.BuildJob); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `UPDATE jobs SET attempts = attempts + 1 WHERE id = ? RETURNING attempts`, j.ID).Scan(&attempt)
	})
	return attempt, err
}

// FinishBuild stores a build and ends its job. A build that passed or failed
// stays so; one that made nothing is replaced by a later outcome, and an incremental one by
// that of a clean build. For a job that is done
// it returns nil when b is the outcome that is stored, else ErrJobDone.
func (db *DB) FinishBuild(ctx context.Context, j orchestrator.Job, b orchestrator.Build) error {
	return db.write(ctx, "finish job "+j.ID, func(tx *sql.Tx) error {
		if b.ID != j.Build || b.Target != j.Target {
			return fmt.Errorf("build %s of target %s is not what the job makes", b.ID, b.Target)
		}
		if b.Finished.IsZero() {
			return errors.New("the build has no end")
		}
		stored, found, err := findBuild(ctx, tx, b.ID)
		if err != nil {
			return err
		}
		_, err = openJob(ctx, tx, j.ID, orchestrator.BuildJob)
		if errors.Is(err, orchestrator.ErrJobDone) && found && sameOutcome(stored, b) {
			return nil
		}
		if err != nil {
			return err
		}
		proven := stored.Incremental && j.Clean && b.Status != suites.Broken
		futile := stored.Status == suites.Broken || stored.Status == suites.Skipped
		if !found || futile || proven {
			if err := putBuild(ctx, tx, b); err != nil {
				return err
			}
		}
		return db.endJob(ctx, tx, j.ID)
	})
}

func findBuild(ctx context.Context, tx *sql.Tx, id string) (b orchestrator.Build, found bool, err error) {
	b, err = scanBuild(tx.QueryRowContext(ctx, `SELECT `+buildColumns+` FROM builds b WHERE b.id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return b, false, nil
	}
	return b, err == nil, err
}

func sameOutcome(stored, b orchestrator.Build) bool {
	return stored.Status == b.Status && stored.Image == b.Image && stored.Finished.Equal(truncated(b.Finished))
}

func putBuild(ctx context.Context, tx *sql.Tx, b orchestrator.Build) error {
	status, err := b.Status.MarshalText()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO builds
		(id, target, commit_hash, status, reason, image, os, incremental, log, duration, finished)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET commit_hash = excluded.commit_hash, status = excluded.status,
			reason = excluded.reason, image = excluded.image, os = excluded.os, incremental = excluded.incremental, log = excluded.log,
			duration = excluded.duration, finished = excluded.finished`,
		b.ID, b.Target, b.Commit, string(status), bounded(b.Reason, maxReason), b.Image, b.OS, b.Incremental, b.Log,
		max(0, b.Duration).Microseconds(), stamp(b.Finished))
	return err
}

// runID is the digest of a job and an attempt. The last slash parts them.
func runID(job string, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", job, attempt))
	return hex.EncodeToString(sum[:])[:12]
}

// BeginRun starts the next attempt of a run job and abandons the one before.
func (db *DB) BeginRun(ctx context.Context, j orchestrator.Job, host string, now time.Time) (r orchestrator.Run, err error) {
	err = db.write(ctx, "begin job "+j.ID, func(tx *sql.Tx) error {
		stored, err := openJob(ctx, tx, j.ID, orchestrator.RunJob)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE runs SET state = 'abandoned' WHERE job = ? AND state = 'running'`, j.ID); err != nil {
			return err
		}
		var attempt int
		if err := tx.QueryRowContext(ctx, `UPDATE jobs SET attempts =
			1 + (SELECT coalesce(max(attempt), 0) FROM runs WHERE job = jobs.id)
			WHERE id = ? RETURNING attempts`, j.ID).Scan(&attempt); err != nil {
			return err
		}
		r = orchestrator.Run{ID: runID(j.ID, attempt), Job: stored, Attempt: attempt,
			State: orchestrator.RunRunning, Started: truncated(now), Host: host}
		_, err = tx.ExecContext(ctx, `INSERT INTO runs (id, job, attempt, state, host, started) VALUES (?, ?, ?, ?, ?, ?)`,
			r.ID, j.ID, r.Attempt, string(r.State), r.Host, stamp(r.Started))
		return err
	})
	return r, err
}
