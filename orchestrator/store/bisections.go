package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/headwatch/headwatch/orchestrator"
)

const bisectionColumns = `b.id, b.upstream, b.target, b.machine, b.case_name, b.good, b.bad, b.fix, b.crash, b.asker,
	b.confidence, b.ending, b.first, b.last, b.posterior, b.verified, b.opened, b.closed`

func scanBisection(r row) (b orchestrator.Bisection, err error) {
	return b, r.Scan(&b.ID, &b.Upstream, &b.Target, &b.Machine, &b.Case, &b.Good, &b.Bad, &b.Fix, &b.Crash, &b.Asker,
		&b.Confidence, &b.Ending, &b.First, &b.Last, &b.Posterior, &b.Verified, moment{&b.Opened}, moment{&b.Closed})
}

// AddBisection stores a search, or finds the stored one with the same ends and aim.
// Who asks by hand sets its confidence, and opens it again: what is known already
// ends it at once. A pass asks once.
func (db *DB) AddBisection(ctx context.Context, b orchestrator.Bisection) (out orchestrator.Bisection, err error) {
	err = db.write(ctx, fmt.Sprintf("store the bisection of %s", b.Case), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO bisections (upstream, target, machine, case_name, good, bad, fix, crash, asker,
			confidence, state, ending, first, last, posterior, verified, opened)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', '', '', '', 0, 0, ?)
			ON CONFLICT (upstream, target, machine, case_name, good, bad, fix, crash) DO UPDATE SET
				confidence = excluded.confidence, asker = 'hand', state = 'running', ending = '', closed = NULL
				WHERE excluded.asker = 'hand'`,
			b.Upstream, b.Target, b.Machine, b.Case, b.Good, b.Bad, b.Fix, b.Crash, string(b.Asker), b.Confidence, stamp(db.Now()))
		if err != nil {
			return err
		}
		out, err = scanBisection(tx.QueryRowContext(ctx, `SELECT `+bisectionColumns+` FROM bisections b
			WHERE (b.upstream, b.target, b.machine, b.case_name, b.good, b.bad, b.fix, b.crash) = (?, ?, ?, ?, ?, ?, ?, ?)`,
			b.Upstream, b.Target, b.Machine, b.Case, b.Good, b.Bad, b.Fix, b.Crash))
		return err
	})
	return out, err
}

// Bisections lists those of a target that run, oldest first.
func (db *DB) Bisections(ctx context.Context, upstream, target string) (out []orchestrator.Bisection, err error) {
	err = db.read(ctx, fmt.Sprintf("bisections of %s on %s", target, upstream), func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanBisection, `SELECT `+bisectionColumns+` FROM bisections b
			WHERE b.upstream = ? AND b.target = ? AND b.state = 'running' ORDER BY b.id`, upstream, target)
		return err
	})
	return out, err
}

// EndBisection stores how a search ended. What has ended stays as it is.
func (db *DB) EndBisection(ctx context.Context, b orchestrator.Bisection) error {
	if b.Ending == "" {
		return errors.New("a bisection ends without an ending: ours to mend")
	}
	return db.write(ctx, fmt.Sprintf("end bisection %d", b.ID), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE bisections SET state = 'ended', ending = ?, first = ?, last = ?, posterior = ?,
			verified = ?, closed = ? WHERE id = ? AND state = 'running'`,
			b.Ending, b.First, b.Last, b.Posterior, b.Verified, stamp(db.Now()), b.ID)
		return err
	})
}

// observedQuery lists the jobs of one case: those that run nothing else, and those
// of suites in which it said something. A build's image may have been replaced:
// what ran on another one says nothing of it.
const observedQuery = `SELECT j.payload, j.done_at IS NULL, coalesce(r.id, ''), coalesce(r.boot_id, ''),
	s.status, bt.status, coalesce(nullif(s.reason, ''), nullif(bt.reason, ''), r.reason, ''),
	coalesce((SELECT group_concat(c.signature, char(10)) FROM crashes c WHERE c.run = r.id), ''),
	coalesce(r.finished - r.started, 0)
	FROM jobs j LEFT JOIN builds b ON b.id = j.build AND b.image = j.image
	LEFT JOIN runs r ON r.job = j.id AND r.state = 'finished' AND b.id IS NOT NULL
	LEFT JOIN results s ON s.run = r.id AND s.case_name = ?
	LEFT JOIN results bt ON bt.run = r.id AND bt.case_name = 'boot'
	WHERE j.target = ? AND j.kind = 'run' AND j.rig = ? AND j.machine = ? AND (j.case_name = ? OR j.case_name = '' AND s.n IS NOT NULL)
	ORDER BY j.seq`

// Observed lists the runs of a bisection's case.
func (db *DB) Observed(ctx context.Context, b orchestrator.Bisection, rig string) (out []orchestrator.Observed, err error) {
	err = db.read(ctx, fmt.Sprintf("runs of bisection %d", b.ID), func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanObserved, observedQuery, b.Case, b.Target, rig, b.Machine, b.Case)
		return err
	})
	return out, err
}

func scanObserved(r row) (o orchestrator.Observed, err error) {
	var crashes string
	err = r.Scan(document{&o.Job}, &o.Open, &o.Run, &o.Boot, word{&o.Status}, word{&o.Booted}, &o.Reason, &crashes, span{&o.Took})
	if crashes != "" {
		o.Crashes = strings.Split(crashes, "\n")
	}
	return o, err
}
