package store

import (
	"context"
	"database/sql"

	"github.com/headwatch/headwatch/suites"
)

// ResultCounts are numbers of results by their word.
type ResultCounts struct {
	Passed, Failed, Broken, Skipped, ExpectedFailure int
}

// dest lists where the five numbers are scanned to, in the order of
// suites.Statuses.
func (n *ResultCounts) dest() []any {
	return []any{&n.Passed, &n.Failed, &n.Broken, &n.Skipped, &n.ExpectedFailure}
}

// Total is the number of all results counted.
func (n ResultCounts) Total() int {
	return n.Passed + n.Failed + n.Broken + n.Skipped + n.ExpectedFailure
}

// Of is the number of results with a status.
func (n ResultCounts) Of(s suites.Status) int {
	if i := n.of(s); i != nil {
		return *i
	}
	return 0
}

func (n *ResultCounts) of(s suites.Status) *int {
	switch s {
	case suites.Passed:
		return &n.Passed
	case suites.Failed:
		return &n.Failed
	case suites.Broken:
		return &n.Broken
	case suites.Skipped:
		return &n.Skipped
	case suites.ExpectedFailure:
		return &n.ExpectedFailure
	}
	return nil
}

// Counts are the numbers of what the store holds.
type Counts struct {
	Commits         int          // on the line
	Builds          int          // with an outcome
	Runs            int          // finished
	Results         ResultCounts // of finished runs
	Running         int          // runs under way
	OpenJobs        int          // without an outcome, those under way included
	OpenRegressions int
}

// ofUpstream limits a table with a column build to an upstream's commits.
const ofUpstream = ` EXISTS (SELECT 1 FROM inputs i JOIN commits c ON c.hash = i.commit_hash
	WHERE i.build = x.build AND c.upstream = ?)`

// countQueries are for everything; the ones for an upstream take its name.
var countQueries = struct{ all, upstream []string }{
	all: []string{
		`SELECT count(*) FROM commits WHERE on_line = 1`,
		`SELECT count(*) FROM builds`,
		`SELECT count(*) FROM runs WHERE state = 'running'`,
		`SELECT count(*) FROM jobs WHERE done_at IS NULL`,
		`SELECT count(*) FROM regressions WHERE state = 'open'`,
		`SELECT count(*), ` + sumOfRuns + ` FROM runs r WHERE r.state = 'finished'`,
	},
	upstream: []string{
		`SELECT count(*) FROM commits WHERE on_line = 1 AND upstream = ?`,
		`SELECT count(DISTINCT b.id) FROM commits c CROSS JOIN inputs i ON i.commit_hash = c.hash
			CROSS JOIN builds b ON b.id = i.build WHERE c.upstream = ?`,
		`SELECT count(*) FROM runs r CROSS JOIN jobs x ON x.id = r.job WHERE r.state = 'running' AND` + ofUpstream,
		`SELECT count(*) FROM jobs x WHERE x.done_at IS NULL AND` + ofUpstream,
		`SELECT count(*) FROM regressions WHERE state = 'open' AND upstream = ?`,
		`SELECT count(*), ` + sumOfRuns + ` FROM
			(SELECT DISTINCT i.build FROM commits c CROSS JOIN inputs i ON i.commit_hash = c.hash WHERE c.upstream = ?) mine
			CROSS JOIN jobs j ON j.build = mine.build AND j.kind = 'run'
			CROSS JOIN runs r ON r.job = j.id AND r.state = 'finished'`,
	},
}

const sumOfRuns = `coalesce(sum(r.passed), 0), coalesce(sum(r.failed), 0), coalesce(sum(r.broken), 0),
	coalesce(sum(r.skipped), 0), coalesce(sum(r.expected_failure), 0)`

// Counts counts what an upstream has, or all upstreams for an empty name. A build
// that several commits share is one; a build that two upstreams share counts for
// both.
func (db *DB) Counts(ctx context.Context, upstream string) (n Counts, err error) {
	queries, args := countQueries.all, []any{}
	if upstream != "" {
		queries, args = countQueries.upstream, []any{upstream}
	}
	dest := [][]any{{&n.Commits}, {&n.Builds}, {&n.Running}, {&n.OpenJobs}, {&n.OpenRegressions},
		append([]any{&n.Runs}, n.Results.dest()...)}
	err = db.read(ctx, "count", func(tx *sql.Tx) error {
		for i, q := range queries {
			if err := tx.QueryRowContext(ctx, q, args...).Scan(dest[i]...); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}
