package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/headwatch/headwatch/orchestrator"
)

// putRegression stores what planning found. Planning may have worked from a view
// that is out of date by now, so a regression that has left the state open does
// not return to it, and a new one is taken for the stored one of the same case
// with the same bad commit, or for the open one with the same good commit.
func (db *DB) putRegression(ctx context.Context, tx *sql.Tx, g orchestrator.Regression) error {
	old, err := storedRegression(ctx, tx, g)
	if err != nil {
		return err
	}
	closed := old.ID != 0 && old.State != orchestrator.Suspected
	switch {
	case closed && (g.ID == 0 || g.State == orchestrator.Suspected || old.State == orchestrator.Fixed):
		return nil
	case old.State == orchestrator.Located && g.State == orchestrator.Ranged:
		return nil
	case g.ID == 0 && old.ID != 0 && g.Bad != old.Bad:
		return nil // the stored one has a narrower range since, or soon will
	}
	db.dateRegression(&g, old)
	if old.ID == 0 {
		return insertRegression(ctx, tx, g)
	}
	g.Reason = bounded(g.Reason, maxReason)
	if g.ID = old.ID; g == old {
		return nil // most plans have no news of a regression
	}
	// A range that new evidence has narrowed is news.
	news := g.State == orchestrator.Ranged && (g.Good != old.Good || g.Bad != old.Bad)
	_, err = tx.ExecContext(ctx, `UPDATE regressions SET reported = iif(?, '', reported), state = ?, good = ?, bad = ?, culprit = ?, fixed_by = ?, confidence = ?,
		reason = ?, run = ?, opened = ?, closed = ? WHERE id = ?`,
		news, string(g.State), g.Good, g.Bad, nullable(g.Culprit), nullable(g.FixedBy), g.Confidence, g.Reason, nullable(g.Run),
		stamp(g.Opened), stamp(g.Closed), old.ID)
	return err
}

func insertRegression(ctx context.Context, tx *sql.Tx, g orchestrator.Regression) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO regressions
		(upstream, target, machine, case_name, state, good, bad, culprit, fixed_by, confidence, reason, run, opened, closed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.Upstream, g.Target, g.Machine, g.Case, string(g.State), g.Good, g.Bad, nullable(g.Culprit), nullable(g.FixedBy), g.Confidence,
		bounded(g.Reason, maxReason), nullable(g.Run), stamp(g.Opened), stamp(g.Closed))
	return err
}

const sameRegressionQuery = `SELECT ` + regressionColumns + ` FROM regressions g
	WHERE g.upstream = ? AND g.target = ? AND g.machine = ? AND g.case_name = ?
	AND g.state <> 'withdrawn' AND (g.bad = ? OR (g.state = 'open' AND g.good = ?))
	ORDER BY g.state = 'open' DESC, g.bad = ? DESC, g.id DESC LIMIT 1`

// storedRegression finds the row that g is about; ID 0: there is none.
func storedRegression(ctx context.Context, tx *sql.Tx, g orchestrator.Regression) (orchestrator.Regression, error) {
	if g.ID != 0 {
		old, err := scanRegression(tx.QueryRowContext(ctx, regressionQuery, g.ID))
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("number %d: %w", g.ID, ErrNotFound)
		}
		return old, err
	}
	old, err := scanRegression(tx.QueryRowContext(ctx, sameRegressionQuery,
		g.Upstream, g.Target, g.Machine, g.Case, g.Bad, g.Good, g.Bad))
	if errors.Is(err, sql.ErrNoRows) {
		return orchestrator.Regression{}, nil
	}
	return old, err
}

// dateRegression keeps the first opening and the first closing of a regression,
// and fills in what has no time yet.
func (db *DB) dateRegression(g *orchestrator.Regression, old orchestrator.Regression) {
	switch {
	case !old.Opened.IsZero():
		g.Opened = old.Opened
	case g.Opened.IsZero():
		g.Opened = db.Now()
	}
	switch {
	case g.State == orchestrator.Suspected:
		g.Closed = old.Closed
	case !old.Closed.IsZero():
		g.Closed = old.Closed
	case g.Closed.IsZero():
		g.Closed = db.Now()
	}
}

const evidenceQuery = `SELECT r.id, s.reason FROM jobs j
	JOIN runs r ON r.job = j.id AND r.state = 'finished'
	JOIN results s ON s.run = r.id AND s.case_name = ? AND s.status = 'failed'
	WHERE j.build = ? AND j.kind = 'run' AND j.machine = ? ORDER BY r.started, r.id LIMIT 1`

// Evidence names the first finished run in which a case failed, and what it
// said; empty when there is none.
func (db *DB) Evidence(ctx context.Context, k orchestrator.TallyKey) (run, reason string, err error) {
	err = db.read(ctx, fmt.Sprintf("evidence against %s on build %s", k.Case, k.Build), func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, evidenceQuery, k.Case, k.Build, k.Machine).Scan(&run, &reason)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return run, reason, err
}

const (
	regressionQuery  = `SELECT ` + regressionColumns + ` FROM regressions g WHERE g.id = ?`
	regressionsQuery = `SELECT ` + regressionColumns + ` FROM regressions g
		WHERE (?1 = '' OR g.upstream = ?1) AND (NOT ?2 OR g.state = 'open')
		ORDER BY g.state = 'open' DESC, g.id DESC LIMIT ?3`
)

// Regressions lists an upstream's regressions, or those of all for an empty
// name: the open ones first, each group newest first.
func (db *DB) Regressions(ctx context.Context, upstream string, onlyOpen bool, limit int) (out []orchestrator.Regression, err error) {
	err = db.read(ctx, "regressions", func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanRegression, regressionsQuery, upstream, onlyOpen, limited(limit))
		return err
	})
	return out, err
}

const unreportedQuery = `SELECT ` + regressionColumns + ` FROM regressions g
	WHERE g.upstream = ? AND g.state IN ('open', 'located', 'ranged') AND g.state <> g.reported ORDER BY g.id LIMIT ?`

// Unreported lists an upstream's regressions whose state nobody was told of yet,
// oldest first.
func (db *DB) Unreported(ctx context.Context, upstream string) (out []orchestrator.Regression, err error) {
	err = db.read(ctx, "unreported regressions", func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanRegression, unreportedQuery, upstream, maxRows)
		return err
	})
	return out, err
}

// Reported stores that somebody was told of a regression in a state.
func (db *DB) Reported(ctx context.Context, id int64, state orchestrator.RegressionState) error {
	return db.write(ctx, fmt.Sprintf("report regression %d", id), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE regressions SET reported = ? WHERE id = ?`, string(state), id)
		return err
	})
}

// Regression reads one regression.
func (db *DB) Regression(ctx context.Context, id int64) (g orchestrator.Regression, err error) {
	err = db.read(ctx, fmt.Sprintf("regression %d", id), func(tx *sql.Tx) error {
		g, err = scanRegression(tx.QueryRowContext(ctx, regressionQuery, id))
		return found(err)
	})
	return g, err
}

// found turns the absence of a row into ErrNotFound.
func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
