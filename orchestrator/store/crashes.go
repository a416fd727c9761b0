package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/headwatch/headwatch/orchestrator"
)

// maxFrames bounds the frames kept of one crash.
const maxFrames = 200

const crashColumns = `c.run, c.title, c.signature, c.kind, c.place, c.frames, c.text`

func scanCrash(r row) (c orchestrator.Crash, err error) {
	err = r.Scan(&c.Run, &c.Title, &c.Signature, &c.Kind, &c.Where, document{&c.Frames}, &c.Text)
	if len(c.Frames) == 0 {
		c.Frames = nil
	}
	return c, err
}

const (
	crashesQuery = `SELECT ` + crashColumns + ` FROM crashes c WHERE c.run = ? ORDER BY c.n`
	// Signatures by when they were seen last. Rows of one signature are together in
	// the index, which holds no texts.
	signaturesQuery = `SELECT c.signature, count(DISTINCT c.run), min(r.finished), max(r.finished) AS last
		FROM crashes c CROSS JOIN runs r ON r.id = c.run
		GROUP BY c.signature ORDER BY last DESC, c.signature LIMIT ?`
	signatureQuery = `SELECT c.signature, count(DISTINCT c.run), min(r.finished), max(r.finished)
		FROM crashes c CROSS JOIN runs r ON r.id = c.run
		WHERE c.signature >= ?1 AND c.signature < ?1 || ?2
		GROUP BY c.signature ORDER BY c.signature = ?1 DESC, c.signature LIMIT 2`
	// Texts are long: they are read of one row, not sorted.
	lastCrashQuery = `SELECT ` + crashColumns + ` FROM crashes c WHERE (c.run, c.n) = (SELECT k.run, k.n
		FROM crashes k CROSS JOIN runs r ON r.id = k.run WHERE k.signature = ? ORDER BY r.finished DESC, k.run, k.n LIMIT 1)`
	// A commit that two upstreams share counts for both. One that left its line has
	// no place on it.
	crashPlacesQuery = `SELECT p.upstream, p.target, p.runs, coalesce(o.hash, ''), coalesce(n.hash, '')
		FROM (SELECT coalesce(m.upstream, j.payload ->> 'upstream', '') AS upstream, j.target,
				count(DISTINCT k.run) AS runs, min(m.position) AS oldest, max(m.position) AS newest
			FROM crashes k CROSS JOIN runs r ON r.id = k.run CROSS JOIN jobs j ON j.id = r.job
			LEFT JOIN commits m ON m.hash = j.payload ->> 'commit' AND m.on_line = 1
			WHERE k.signature = ? GROUP BY 1, 2) p
		LEFT JOIN commits o ON o.upstream = p.upstream AND o.position = p.oldest AND o.on_line = 1
		LEFT JOIN commits n ON n.upstream = p.upstream AND n.position = p.newest AND n.on_line = 1
		ORDER BY p.upstream, p.target LIMIT ?`
	crashRunsQuery = `SELECT ` + runColumns + ` FROM runs r CROSS JOIN jobs j ON j.id = r.job
		WHERE r.id IN (SELECT k.run FROM crashes k WHERE k.signature = ?) ORDER BY r.finished DESC, r.id LIMIT ?`
)

// RunCrashes lists the crashes of a run in the order of the console.
func (db *DB) RunCrashes(ctx context.Context, run string) (out []orchestrator.Crash, err error) {
	err = db.read(ctx, "crashes of run "+run, func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanCrash, crashesQuery, run)
		return err
	})
	return out, err
}

// Crashes lists what is known of each signature, the last seen first.
func (db *DB) Crashes(ctx context.Context, limit int) (out []orchestrator.KnownCrash, err error) {
	err = db.read(ctx, "crashes", func(tx *sql.Tx) error {
		if out, err = list(ctx, tx, scanKnown, signaturesQuery, limited(limit)); err != nil {
			return err
		}
		for i := range out {
			if err := fillKnown(ctx, tx, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Crash finds what is known of a signature by that or the start of one.
func (db *DB) Crash(ctx context.Context, prefix string) (k orchestrator.KnownCrash, err error) {
	err = db.read(ctx, "crash "+prefix, func(tx *sql.Tx) error {
		matches, err := list(ctx, tx, scanKnown, signatureQuery, prefix, afterPrefix)
		if err != nil {
			return err
		}
		if k, err = only(prefix, matches, func(k orchestrator.KnownCrash) string { return k.Signature }); err != nil {
			return err
		}
		return fillKnown(ctx, tx, &k)
	})
	return k, err
}

// CrashRuns lists the runs that showed a signature, the last to finish first.
func (db *DB) CrashRuns(ctx context.Context, signature string, limit int) ([]orchestrator.Run, error) {
	return db.runs(ctx, "runs with crash "+signature, crashRunsQuery, signature, limited(limit))
}

func scanKnown(r row) (k orchestrator.KnownCrash, err error) {
	return k, r.Scan(&k.Signature, &k.Runs, moment{&k.First}, moment{&k.Last})
}

// fillKnown reads the crash that was stored last, and where all of them were.
func fillKnown(ctx context.Context, tx *sql.Tx, k *orchestrator.KnownCrash) (err error) {
	if k.Crash, err = scanCrash(tx.QueryRowContext(ctx, lastCrashQuery, k.Signature)); err != nil {
		return err
	}
	k.Places, err = list(ctx, tx, scanPlace, crashPlacesQuery, k.Signature, maxRows)
	return err
}

func scanPlace(r row) (p orchestrator.CrashPlace, err error) {
	return p, r.Scan(&p.Upstream, &p.Target, &p.Runs, &p.First, &p.Last)
}

// addCrashes stores the crashes of a run.
func addCrashes(ctx context.Context, tx *sql.Tx, run string, crashes []orchestrator.Crash) error {
	for i, c := range crashes[:min(len(crashes), maxCrashes)] {
		frames := make([]orchestrator.Frame, 0, len(c.Frames))
		for _, f := range c.Frames[:min(len(c.Frames), maxFrames)] {
			f.Func, f.File = bounded(f.Func, maxLine), bounded(f.File, maxLine)
			frames = append(frames, f)
		}
		text, err := json.Marshal(frames)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO crashes (run, n, title, signature, text, kind, place, frames) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			run, i+1, bounded(c.Title, maxLine), bounded(c.Signature, maxLine), bounded(c.Text, maxText),
			c.Kind, bounded(c.Where, maxLine), string(text)); err != nil {
			return err
		}
	}
	return nil
}
