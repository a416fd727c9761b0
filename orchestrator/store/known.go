package store

import (
	"context"
	"database/sql"

	"github.com/headwatch/headwatch/orchestrator"
)

const knownColumns = `k.machine, k.case_name, k.reason, k.link, k.since, k.state, k.lacks, k.lapsed`

func scanKnownFailure(r row) (k orchestrator.Known, err error) {
	return k, r.Scan(&k.Machine, &k.Case, &k.Reason, &k.Link, &k.Since, &k.State, &k.Lacks, &k.Lapsed)
}

const viewKnownQuery = `SELECT ` + knownColumns + ` FROM known_failures k WHERE k.upstream = ? AND k.target = ?
	ORDER BY k.machine, k.case_name`

func viewKnown(ctx context.Context, tx *sql.Tx, v *orchestrator.View) (err error) {
	v.Known, err = list(ctx, tx, scanKnownFailure, viewKnownQuery, v.Upstream, v.Target)
	return err
}

// putKnown replaces what became of the known failures of a target; nil leaves it as it
// is.
func putKnown(ctx context.Context, tx *sql.Tx, d orchestrator.Decision) error {
	if d.Known == nil {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM known_failures WHERE upstream = ? AND target = ?`, d.Upstream, d.Target); err != nil {
		return err
	}
	for _, k := range d.Known {
		if _, err := tx.ExecContext(ctx, `INSERT INTO known_failures
			(upstream, target, machine, case_name, reason, link, since, state, lacks, lapsed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			d.Upstream, d.Target, k.Machine, k.Case, bounded(k.Reason, maxReason), bounded(k.Link, maxReason), k.Since, string(k.State), k.Lacks, k.Lapsed); err != nil {
			return err
		}
	}
	return nil
}

// KnownFailure is what became of a known failure on one target.
type KnownFailure struct {
	Upstream, Target string
	orchestrator.Known
}

const knownFailuresQuery = `SELECT k.upstream, k.target, ` + knownColumns + ` FROM known_failures k
	ORDER BY k.upstream, k.target, k.machine, k.case_name`

// KnownFailures lists what became of all failures that the pipeline lists as known.
func (db *DB) KnownFailures(ctx context.Context) (known []KnownFailure, err error) {
	err = db.read(ctx, "known failures", func(tx *sql.Tx) error {
		known, err = list(ctx, tx, func(r row) (k KnownFailure, err error) {
			err = r.Scan(&k.Upstream, &k.Target, &k.Machine, &k.Case, &k.Reason, &k.Link, &k.Since, &k.State, &k.Lacks, &k.Lapsed)
			return k, err
		}, knownFailuresQuery)
		return err
	})
	return known, err
}
