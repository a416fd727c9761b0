package store

import (
	"context"
	"database/sql"
	"encoding"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
)

// row is a *sql.Row or the current one of *sql.Rows.
type row interface{ Scan(dest ...any) error }

// rowPlus scans further columns after those that a scan function knows.
type rowPlus struct {
	row
	extra []any
}

func (r rowPlus) Scan(dest ...any) error { return r.row.Scan(append(dest, r.extra...)...) }

// list runs a query and reads each row with scan.
func list[T any](ctx context.Context, tx *sql.Tx, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// each runs a query and gives each row to f.
func each(ctx context.Context, tx *sql.Tx, f func(row) error, query string, args ...any) error {
	_, err := list(ctx, tx, func(r row) (struct{}, error) { return struct{}{}, f(r) }, query, args...)
	return err
}

// limited keeps a caller's limit within 1 to maxRows; zero or less is maxRows.
func limited(n int) int {
	if n <= 0 {
		return maxRows
	}
	return min(n, maxRows)
}

func oneString(r row) (s string, err error) { return s, r.Scan(&s) }

// stamp stores a time in microseconds; the zero time is NULL.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// truncated is a time as it comes back from the database.
func truncated(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// nullable stores an empty string as NULL.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// moment reads what stamp wrote.
type moment struct{ t *time.Time }

func (m moment) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*m.t = time.Time{}
	case int64:
		*m.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is stored as %T", src)
	}
	return nil
}

// span reads a duration in microseconds.
type span struct{ d *time.Duration }

func (s span) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a duration is stored as %T", src)
	}
	*s.d = time.Duration(v) * time.Microsecond
	return nil
}

// word reads an enum by its name; NULL leaves it unset.
type word struct{ u encoding.TextUnmarshaler }

func (w word) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return w.u.UnmarshalText([]byte(v))
	}
	return fmt.Errorf("a word is stored as %T", src)
}

// document reads JSON.
type document struct{ into any }

func (d document) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("a document is stored as %T", src)
	}
	return json.Unmarshal([]byte(s), d.into)
}

// bounded makes foreign text fit to be kept: valid UTF-8 without NUL, at most n
// bytes. Guests, tools and commits decide how long their texts are; a longer one
// is cut, because refusing it would make its job fail for ever.
func bounded(s string, n int) string {
	const more = "…"
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len(more)], "") + more
}

// How much is kept of foreign texts, in bytes.
const (
	maxLine   = 1 << 10 // names, subjects, titles
	maxReason = 4 << 10
	maxOutput = 32 << 10  // of a part of a case
	maxText   = 256 << 10 // crash reports, command lines
	// maxCrashes bounds the crashes kept of one run: a kernel in a loop prints
	// the same report until it is killed.
	maxCrashes = 100
)

const commitColumns = `c.upstream, c.hash, c.parent, c.position, c.author, c.email, c.time, c.subject, c.beyond`

func scanCommit(r row) (c orchestrator.Commit, err error) {
	return c, r.Scan(&c.Upstream, &c.Hash, &c.Parent, &c.Position, &c.Author, &c.Email, moment{&c.Time}, &c.Subject, &c.Beyond)
}

const buildColumns = `b.id, b.target, b.commit_hash, b.status, b.reason, b.image, b.os, b.incremental, b.log, b.duration, b.finished`

func scanBuild(r row) (b orchestrator.Build, err error) {
	return b, r.Scan(&b.ID, &b.Target, &b.Commit, word{&b.Status}, &b.Reason, &b.Image, &b.OS, &b.Incremental, &b.Log,
		span{&b.Duration}, moment{&b.Finished})
}

func scanJob(r row) (j orchestrator.Job, err error) { return j, r.Scan(document{&j}) }

const runColumns = `r.id, j.payload, r.attempt, r.state, r.status, r.reason, r.started, r.finished, r.boot_id,
	r.kernel, r.accel, r.monitor, r.boot_time, r.command, r.host, r.console`

func scanRun(r row) (n orchestrator.Run, err error) {
	return n, r.Scan(&n.ID, document{&n.Job}, &n.Attempt, &n.State, word{&n.Status}, &n.Reason, moment{&n.Started},
		moment{&n.Finished}, &n.BootID, &n.Kernel, &n.Accel, &n.Monitor, span{&n.BootTime}, &n.Command, &n.Host, &n.Console)
}

const regressionColumns = `g.id, g.upstream, g.target, g.machine, g.case_name, g.state, g.good, g.bad,
	coalesce(g.culprit, ''), coalesce(g.fixed_by, ''), g.confidence, g.reason, coalesce(g.run, ''), g.opened, g.closed`

func scanRegression(r row) (g orchestrator.Regression, err error) {
	return g, r.Scan(&g.ID, &g.Upstream, &g.Target, &g.Machine, &g.Case, &g.State, &g.Good, &g.Bad,
		&g.Culprit, &g.FixedBy, &g.Confidence, &g.Reason, &g.Run, moment{&g.Opened}, moment{&g.Closed})
}
