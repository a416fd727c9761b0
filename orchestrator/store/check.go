package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/orchestrator"
)

// Finding is something that is not as it must be.
type Finding struct {
	Check string // a name for programs, [a-z-]+
	What  string // what is wrong, with the id it is about
}

// maxFindings bounds the findings of each check: the first ones tell the story.
const maxFindings = 100

// invariants are queries for what must not be. Each row is the text of a finding.
var invariants = []struct{ check, query string }{
	{"run-without-results", `SELECT 'run ' || r.id || ' finished as ' || r.status || ' without results' FROM runs r
		WHERE r.state = 'finished' AND r.status <> 'broken' AND NOT EXISTS (SELECT 1 FROM results s WHERE s.run = r.id)`},
	{"run-against-results", `SELECT 'run ' || r.id || ' finished as ' || r.status || ' with ' || r.failed || ' failed results' FROM runs r
		WHERE r.state = 'finished' AND r.status IN ('passed', 'skipped') AND r.failed > 0`},
	{"run-counts", `SELECT 'run ' || r.id || ' does not count its results right' FROM runs r
		LEFT JOIN results s ON s.run = r.id WHERE r.state = 'finished' GROUP BY r.id
		HAVING (r.passed, r.failed, r.broken, r.skipped, r.expected_failure) IS NOT (coalesce(sum(s.status = 'passed'), 0),
			coalesce(sum(s.status = 'failed'), 0), coalesce(sum(s.status = 'broken'), 0),
			coalesce(sum(s.status = 'skipped'), 0), coalesce(sum(s.status = 'expected_failure'), 0))`},
	{"job-without-outcome", `SELECT 'job ' || j.id || ' is done without a finished run' FROM jobs j
		WHERE j.kind = 'run' AND j.done_at IS NOT NULL AND j.dropped = 0 AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.job = j.id AND r.state = 'finished')
		UNION ALL SELECT 'job ' || j.id || ' is done without a build' FROM jobs j
		WHERE j.kind = 'build' AND j.done_at IS NOT NULL AND j.dropped = 0 AND NOT EXISTS (SELECT 1 FROM builds b WHERE b.id = j.build)`},
	{"outcome-without-job", `SELECT 'run ' || r.id || ' is finished and its job ' || j.id || ' is not' FROM runs r
		JOIN jobs j ON j.id = r.job WHERE r.state = 'finished' AND j.done_at IS NULL
		UNION ALL SELECT 'run ' || r.id || ' is under way and its job ' || j.id || ' is done' FROM runs r
		JOIN jobs j ON j.id = r.job WHERE r.state = 'running' AND j.done_at IS NOT NULL
		UNION ALL SELECT 'build ' || b.id || ' has no job that is done' FROM builds b
		WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.build = b.id AND j.kind = 'build' AND j.done_at IS NOT NULL)`},
	{"regression-culprit", `SELECT 'regression ' || g.id || ' names a culprit that is not a commit of ' || g.upstream FROM regressions g
		WHERE g.culprit IS NOT NULL AND NOT EXISTS (SELECT 1 FROM commits c WHERE c.upstream = g.upstream AND c.hash = g.culprit)`},
	{"inputs-of-nothing", `SELECT 'commit ' || i.commit_hash || ' has inputs for ' || i.target || ' and is on no upstream' FROM inputs i
		WHERE NOT EXISTS (SELECT 1 FROM commits c WHERE c.hash = i.commit_hash)`},
}

// Check looks for damage: SQLite's own checks, then what our transactions keep
// true. No findings means that the database is sound.
func (db *DB) Check(ctx context.Context) (out []Finding, err error) {
	err = db.read(ctx, "check the database", func(tx *sql.Tx) error {
		out, err = checkAll(ctx, tx)
		return err
	})
	return out, err
}

// Check checks the database at path as it is, also one that Open refuses, and
// changes nothing. That the file cannot be read as a database is a finding; an
// error says that it could not be looked at.
func Check(ctx context.Context, path string) (out []Finding, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("check database %s: %w", path, err)
	}
	if _, err := os.Stat(abs); err != nil {
		return nil, fmt.Errorf("check database: %w", err)
	}
	db := &DB{path: abs}
	steps, err := migrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	version, err := db.inspect(ctx, len(steps))
	if err != nil {
		return []Finding{{"open", err.Error()}}, ctx.Err()
	}
	if version < len(steps) {
		return []Finding{{"version", fmt.Sprintf("%s has schema version %d: any command that opens it brings it to %d",
			abs, version, len(steps))}}, nil
	}
	if db.r, err = sql.Open("sqlite3", dsn(abs, url.Values{"mode": {"rw"}, "_query_only": {"1"}})); err != nil {
		return nil, db.explain("check database", err)
	}
	out, err = db.Check(ctx)
	if isDamage(err) {
		out, err = append(out, Finding{"read", err.Error()}), nil
	}
	return out, errors.Join(err, db.r.Close())
}

func checkAll(ctx context.Context, tx *sql.Tx) (out []Finding, err error) {
	add := func(check, query string, args ...any) error {
		texts, err := list(ctx, tx, oneString, query, args...)
		for _, t := range texts {
			out = append(out, Finding{check, t})
		}
		return err
	}
	if err := add("integrity", `SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT ?`, maxFindings); err != nil {
		return out, err
	}
	if len(out) > 0 {
		return out, nil // what a damaged file says about the rest is worth nothing
	}
	if err := add("foreign-key", `SELECT 'a row of ' || "table" || ' names a row of ' || parent || ' that is not there'
		FROM pragma_foreign_key_check() LIMIT ?`, maxFindings); err != nil {
		return out, err
	}
	for _, i := range invariants {
		if err := add(i.check, `SELECT * FROM (`+i.query+`) LIMIT ?`, maxFindings); err != nil {
			return out, err
		}
	}
	return checkPaths(ctx, tx, out)
}

// checkPaths finds paths that lead out of the state directory: such a state
// cannot be moved, and its files would be lost or shared.
func checkPaths(ctx context.Context, tx *sql.Tx, out []Finding) ([]Finding, error) {
	a, err := artifacts(ctx, tx)
	var kept []string
	for _, f := range a.Kept {
		kept = append(kept, f.Path)
	}
	for _, paths := range [][]string{a.Logs, a.Consoles, kept} {
		for _, p := range paths {
			if !filepath.IsLocal(p) && len(out) < maxFindings {
				out = append(out, Finding{"path", fmt.Sprintf("the file %s is not below the state directory", p)})
			}
		}
	}
	return out, err
}

// Artifacts are the files and images that the database refers to.
type Artifacts struct {
	Images   []string                // image ids
	Logs     []string                // of builds, below the state directory
	Consoles []string                // of finished runs, below the state directory
	Kept     []orchestrator.Artifact // by the cases of finished runs
}

// Artifacts lists what must be kept, each list sorted and without doubles. What
// belongs to a run or build under way is not in it yet.
func (db *DB) Artifacts(ctx context.Context) (a Artifacts, err error) {
	err = db.read(ctx, "list artifacts", func(tx *sql.Tx) error {
		a, err = artifacts(ctx, tx)
		return err
	})
	return a, err
}

func artifacts(ctx context.Context, tx *sql.Tx) (a Artifacts, err error) {
	for _, part := range []struct {
		into  *[]string
		query string
	}{
		{&a.Images, `SELECT DISTINCT image FROM builds WHERE image <> '' ORDER BY image`},
		{&a.Logs, `SELECT DISTINCT log FROM builds WHERE log <> '' ORDER BY log`},
		{&a.Consoles, `SELECT DISTINCT console FROM runs WHERE console <> '' ORDER BY console`},
	} {
		if *part.into, err = list(ctx, tx, oneString, part.query); err != nil {
			return a, err
		}
	}
	a.Kept, err = list(ctx, tx, scanArtifact, allArtifactsQuery)
	return a, err
}
