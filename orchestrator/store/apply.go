package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/headwatch/headwatch/orchestrator"
)

// Apply stores a decision in one transaction. The same decision twice changes
// nothing: what was selected and planned stays as it was first.
func (db *DB) Apply(ctx context.Context, d orchestrator.Decision) error {
	return db.write(ctx, fmt.Sprintf("store the plan for %s on %s", d.Target, d.Upstream), func(tx *sql.Tx) error {
		for _, s := range d.Select {
			if err := db.addSelection(ctx, tx, d, s); err != nil {
				return fmt.Errorf("select commit %s: %w", s.Commit, err)
			}
		}
		for _, j := range d.Jobs {
			if err := db.addJob(ctx, tx, j); err != nil {
				return fmt.Errorf("job %q: %w", j.ID, err)
			}
		}
		for _, v := range d.Verdicts {
			if err := db.putVerdict(ctx, tx, v); err != nil {
				return fmt.Errorf("verdict on %s of build %s: %w", v.Case, v.Build, err)
			}
		}
		for _, g := range d.Regressions {
			if err := db.putRegression(ctx, tx, g); err != nil {
				return fmt.Errorf("regression of %s at %s: %w", g.Case, g.Bad, err)
			}
		}
		if err := putKnown(ctx, tx, d); err != nil {
			return fmt.Errorf("known failures: %w", err)
		}
		return nil
	})
}

// addSelection keeps the first reason and the highest layer. To be selected again
// dates a selection anew: what the rig broke gets new tries. Planning asks once, a
// pass asks again.
func (db *DB) addSelection(ctx context.Context, tx *sql.Tx, d orchestrator.Decision, s orchestrator.Selection) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO selections (upstream, target, commit_hash, rig, reason, upto, selected_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (upstream, target, commit_hash, rig) DO UPDATE SET
			upto = iif(upto = 0 OR excluded.upto = 0, 0, max(upto, excluded.upto)),
			selected_at = excluded.selected_at`,
		d.Upstream, s.Target, s.Commit, d.Rig, string(s.Reason), int(s.Upto), stamp(db.Now()))
	return err
}

func (db *DB) addJob(ctx context.Context, tx *sql.Tx, j orchestrator.Job) error {
	payload, err := json.Marshal(j)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO jobs (id, payload, created) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		j.ID, string(payload), stamp(db.Now()))
	return err
}

// putVerdict leaves a verdict alone that says the same already, so that
// judged_at is when it came to say so.
func (db *DB) putVerdict(ctx context.Context, tx *sql.Tx, v orchestrator.Judgement) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO verdicts
		(build, machine, case_name, verdict, passed, failed, broken, skipped, judged_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (build, machine, case_name) DO UPDATE SET verdict = excluded.verdict, passed = excluded.passed,
			failed = excluded.failed, broken = excluded.broken, skipped = excluded.skipped,
			judged_at = iif(verdict = excluded.verdict, judged_at, excluded.judged_at)
		WHERE (verdict, passed, failed, broken, skipped) IS NOT
			(excluded.verdict, excluded.passed, excluded.failed, excluded.broken, excluded.skipped)`,
		v.Build, v.Machine, v.Case, string(v.Verdict), v.Counts.Passed, v.Counts.Failed, v.Counts.Broken, v.Counts.Skipped,
		stamp(db.Now()))
	return err
}

// DropJobs ends jobs without an outcome, and the runs of them that a dead worker
// left.
func (db *DB) DropJobs(ctx context.Context, ids []string) error {
	return db.write(ctx, "drop jobs", func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `UPDATE runs SET state = 'abandoned' WHERE job = ? AND state = 'running'`, id); err != nil {
				return fmt.Errorf("job %q: %w", id, err)
			}
			if _, err := tx.ExecContext(ctx, `UPDATE jobs SET done_at = ?, dropped = 1 WHERE id = ? AND done_at IS NULL`,
				stamp(db.Now()), id); err != nil {
				return fmt.Errorf("job %q: %w", id, err)
			}
		}
		return nil
	})
}

const openJobsQuery = `SELECT payload FROM jobs WHERE done_at IS NULL ORDER BY seq`

// OpenJobs lists the jobs without an outcome in the order of their planning.
func (db *DB) OpenJobs(ctx context.Context) (jobs []orchestrator.Job, err error) {
	err = db.read(ctx, "open jobs", func(tx *sql.Tx) error {
		jobs, err = list(ctx, tx, scanJob, openJobsQuery)
		return err
	})
	return jobs, err
}
