package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/headwatch/headwatch/orchestrator"
)

const headQuery = `SELECT hash FROM commits WHERE upstream = ? AND on_line = 1 ORDER BY position DESC LIMIT 1`

// Head returns the newest commit on an upstream's line; empty: none yet.
func (db *DB) Head(ctx context.Context, upstream string) (hash string, err error) {
	err = db.read(ctx, "head of "+upstream, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, headQuery, upstream).Scan(&hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return hash, err
}

// AddUpdate stores what a fetch found. Dropped commits leave the line but are
// kept: their runs happened. A new commit takes its position from whatever had
// it, for a fetch cannot always name what a rewritten history dropped.
func (db *DB) AddUpdate(ctx context.Context, upstream string, u orchestrator.Update) error {
	return db.write(ctx, "store the commits of "+upstream, func(tx *sql.Tx) error {
		for _, hash := range u.Dropped {
			if _, err := tx.ExecContext(ctx, `UPDATE commits SET on_line = 0 WHERE upstream = ? AND hash = ?`, upstream, hash); err != nil {
				return err
			}
		}
		for _, c := range u.New {
			if err := db.addCommit(ctx, tx, upstream, c); err != nil {
				return fmt.Errorf("commit %s: %w", c.Hash, err)
			}
		}
		// A branch that was set back has nothing above its head.
		_, err := tx.ExecContext(ctx, `UPDATE commits SET on_line = 0 WHERE upstream = ?1 AND on_line = 1
			AND position > (SELECT position FROM commits WHERE upstream = ?1 AND hash = ?2 AND on_line = 1)`, upstream, u.Head)
		return err
	})
}

func (db *DB) addCommit(ctx context.Context, tx *sql.Tx, upstream string, c orchestrator.Commit) error {
	if c.Time.IsZero() {
		return errors.New("has no time")
	}
	if _, err := tx.ExecContext(ctx, `UPDATE commits SET on_line = 0
		WHERE upstream = ? AND position = ? AND on_line = 1 AND hash <> ?`, upstream, c.Position, c.Hash); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO commits
		(upstream, hash, parent, position, author, email, time, subject, on_line, seen_at, beyond)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
		ON CONFLICT (upstream, hash) DO UPDATE SET parent = excluded.parent, position = excluded.position,
			author = excluded.author, email = excluded.email, time = excluded.time, subject = excluded.subject, on_line = 1,
			beyond = min(beyond, excluded.beyond)`,
		upstream, c.Hash, c.Parent, c.Position, bounded(c.Author, maxLine), bounded(c.Email, maxLine),
		stamp(c.Time), bounded(c.Subject, maxLine), stamp(db.Now()), c.Beyond)
	return err
}

const unresolvedQuery = `SELECT c.hash FROM commits c WHERE c.upstream = ? AND c.on_line = 1
	AND NOT EXISTS (SELECT 1 FROM inputs i WHERE i.target = ? AND i.salt = ? AND i.commit_hash = c.hash)
	ORDER BY c.position DESC LIMIT ?`

// Unresolved lists the line's commits, newest first and at most limit, whose
// inputs for the target with that salt are not known.
func (db *DB) Unresolved(ctx context.Context, upstream, target, salt string, limit int) (hashes []string, err error) {
	err = db.read(ctx, "commits of "+upstream+" without inputs", func(tx *sql.Tx) error {
		hashes, err = list(ctx, tx, oneString, unresolvedQuery, upstream, target, salt, limited(limit))
		return err
	})
	return hashes, err
}

// SetInputs stores the digest of the build inputs of each commit. A commit whose
// inputs are known gets the new ones.
func (db *DB) SetInputs(ctx context.Context, target, salt string, inputs map[string]string) error {
	return db.write(ctx, "store the inputs of "+target, func(tx *sql.Tx) error {
		for hash, build := range inputs {
			if _, err := tx.ExecContext(ctx, `INSERT INTO inputs (target, salt, commit_hash, build, set_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (target, salt, commit_hash) DO UPDATE SET build = excluded.build`,
				target, salt, hash, build, stamp(db.Now())); err != nil {
				return fmt.Errorf("commit %s: %w", hash, err)
			}
		}
		return nil
	})
}
