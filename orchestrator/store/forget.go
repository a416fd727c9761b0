package store

import (
	"context"
	"database/sql"
	"slices"
	"time"
)

// notOver are the regressions that somebody may still look into.
const notOver = `g.state IN ('open', 'located', 'ranged')`

// neededQuery lists the images that will be booted again, as far as can be known: of
// jobs without an outcome; of both ends, the culprit and the evidence of regressions
// that are not fixed; and the newest of each target, which the next commit is compared
// with.
const neededQuery = `SELECT image FROM jobs WHERE done_at IS NULL AND image <> ''
	UNION SELECT b.image FROM regressions g JOIN inputs i ON i.commit_hash IN (g.good, g.bad, g.culprit) AND i.target = g.target
		JOIN builds b ON b.id = i.build WHERE ` + notOver + ` AND b.image <> ''
	UNION SELECT j.image FROM regressions g JOIN runs r ON r.id = g.run JOIN jobs j ON j.id = r.job WHERE ` + notOver + ` AND j.image <> ''
	UNION SELECT b.image FROM builds b WHERE b.image <> ''
		AND b.finished = (SELECT max(n.finished) FROM builds n WHERE n.target = b.target AND n.image <> '')
	ORDER BY 1`

// NeededImages lists the images that must not be dropped to make room. The others
// that the store names are built again should they be wanted.
func (db *DB) NeededImages(ctx context.Context) (ids []string, err error) {
	err = db.read(ctx, "images in need", func(tx *sql.Tx) error {
		ids, err = list(ctx, tx, oneString, neededQuery)
		return err
	})
	return ids, err
}

// What is told of good work by the file alone, and not missed: the console of a run
// that passed, without a crash on it and without a regression that refers to it, and
// the log of a build that passed.
const (
	oldConsoles = ` WHERE console <> '' AND status = 'passed' AND finished < ?
		AND NOT EXISTS (SELECT 1 FROM crashes c WHERE c.run = runs.id)
		AND NOT EXISTS (SELECT 1 FROM regressions g WHERE g.run = runs.id)`
	oldLogs = ` WHERE log <> '' AND status = 'passed' AND finished < ?`
)

// OldFiles lists the consoles and logs of good work that ended before a moment, and the
// artifacts that oldArtifacts describes, sorted, as paths below the state directory.
func (db *DB) OldFiles(ctx context.Context, before time.Time) (files []string, err error) {
	err = db.read(ctx, "old files", func(tx *sql.Tx) error {
		for _, q := range []string{`SELECT console FROM runs` + oldConsoles, `SELECT log FROM builds` + oldLogs,
			`SELECT path FROM artifacts` + oldArtifacts} {
			some, err := list(ctx, tx, oneString, q, stamp(before))
			if err != nil {
				return err
			}
			files = append(files, some...)
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

// ForgetFiles takes the files that OldFiles lists out of the database. They are
// removed after that: then nothing that it names is missing, whenever a process dies.
func (db *DB) ForgetFiles(ctx context.Context, before time.Time) error {
	return db.write(ctx, "forget old files", func(tx *sql.Tx) error {
		for _, q := range []string{`UPDATE runs SET console = ''` + oldConsoles, `UPDATE builds SET log = ''` + oldLogs,
			`DELETE FROM artifacts` + oldArtifacts} {
			if _, err := tx.ExecContext(ctx, q, stamp(before)); err != nil {
				return err
			}
		}
		return nil
	})
}
