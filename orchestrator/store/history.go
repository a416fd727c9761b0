package store

import (
	"context"
	"database/sql"
	"math"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// One step per upstream, however many commits each has.
const upstreamsQuery = `WITH RECURSIVE names(name) AS (
	SELECT min(upstream) FROM commits
	UNION ALL SELECT (SELECT min(upstream) FROM commits WHERE upstream > name) FROM names WHERE name IS NOT NULL
) SELECT name FROM names WHERE name IS NOT NULL ORDER BY name`

// Upstreams lists the names of the upstreams that have commits.
func (db *DB) Upstreams(ctx context.Context) (names []string, err error) {
	err = db.read(ctx, "upstreams", func(tx *sql.Tx) error {
		names, err = list(ctx, tx, oneString, upstreamsQuery)
		return err
	})
	return names, err
}

const recentCommitsQuery = `SELECT ` + commitColumns + ` FROM commits c
	WHERE c.upstream = ? AND c.on_line = 1 AND c.position < ? ORDER BY c.position DESC LIMIT ?`

// RecentCommits lists the line's commits below a position, newest first. Position
// 0 stands for the end of the line.
func (db *DB) RecentCommits(ctx context.Context, upstream string, limit, beforePosition int) (out []orchestrator.Commit, err error) {
	if beforePosition <= 0 {
		beforePosition = math.MaxInt
	}
	err = db.read(ctx, "commits of "+upstream, func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanCommit, recentCommitsQuery, upstream, beforePosition, limited(limit))
		return err
	})
	return out, err
}

// afterPrefix is above every string that starts with a prefix of printable text.
const afterPrefix = "\U0010FFFF"

// One commit can be on several upstreams; the line's and the first by name wins.
const commitQuery = `SELECT ` + commitColumns + ` FROM commits c
	WHERE c.hash >= ?1 AND c.hash < ?1 || ?2
	ORDER BY c.hash = ?1 DESC, c.hash, c.on_line DESC, c.upstream LIMIT 100`

// Commit finds a commit by its hash or the start of one. Without the whole hash
// it returns ErrAmbiguous when there are several.
func (db *DB) Commit(ctx context.Context, prefix string) (c orchestrator.Commit, err error) {
	err = db.read(ctx, "commit "+prefix, func(tx *sql.Tx) error {
		matches, err := list(ctx, tx, scanCommit, commitQuery, prefix, afterPrefix)
		if err != nil {
			return err
		}
		c, err = only(prefix, matches, func(c orchestrator.Commit) string { return c.Hash })
		return err
	})
	return c, err
}

// only picks the first of the matches for a prefix, which are sorted with the
// exact one first, if the others have the same id.
func only[T any](prefix string, matches []T, id func(T) string) (match T, err error) {
	if prefix == "" || len(matches) == 0 {
		return match, ErrNotFound
	}
	first := id(matches[0])
	for _, m := range matches[1:] {
		if id(m) != first && first != prefix {
			return match, ErrAmbiguous
		}
	}
	return matches[0], nil
}

const commitBuildsQuery = `SELECT ` + buildColumns + ` FROM inputs i JOIN builds b ON b.id = i.build
	WHERE i.commit_hash = ? ORDER BY b.target, i.set_at DESC, b.id LIMIT ?`

// CommitBuilds lists the builds with an outcome of a commit, by target, the newest
// first of those that a change of the rig parts.
func (db *DB) CommitBuilds(ctx context.Context, hash string) (out []orchestrator.Build, err error) {
	err = db.read(ctx, "builds of commit "+hash, func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanBuild, commitBuildsQuery, hash, maxRows)
		return err
	})
	return out, err
}

const buildPrefixQuery = `SELECT ` + buildColumns + ` FROM builds b
	WHERE b.id >= ?1 AND b.id < ?1 || ?2 ORDER BY b.id = ?1 DESC, b.id LIMIT 2`

// Build finds a build with an outcome by its digest or the start of one.
func (db *DB) Build(ctx context.Context, prefix string) (b orchestrator.Build, err error) {
	err = db.read(ctx, "build "+prefix, func(tx *sql.Tx) error {
		matches, err := list(ctx, tx, scanBuild, buildPrefixQuery, prefix, afterPrefix)
		if err != nil {
			return err
		}
		b, err = only(prefix, matches, func(b orchestrator.Build) string { return b.ID })
		return err
	})
	return b, err
}

const verdictsQuery = `SELECT build, machine, case_name, verdict, passed, failed, broken, skipped
	FROM verdicts WHERE build = ? ORDER BY machine, case_name LIMIT ?`

// Verdicts lists the verdicts on a build, by machine and case.
func (db *DB) Verdicts(ctx context.Context, build string) (out []orchestrator.Judgement, err error) {
	err = db.read(ctx, "verdicts on build "+build, func(tx *sql.Tx) error {
		out, err = list(ctx, tx, func(r row) (j orchestrator.Judgement, err error) {
			var v string
			err = r.Scan(&j.Build, &j.Machine, &j.Case, &v, &j.Counts.Passed, &j.Counts.Failed, &j.Counts.Broken, &j.Counts.Skipped)
			j.Verdict = verdict.Verdict(v)
			return j, err
		}, verdictsQuery, build, maxRows)
		return err
	})
	return out, err
}
