// Package store keeps everything that headwatch knows in one SQLite file. It is
// the truth of the project: what the queue holds can be made again from it, and
// what a method reported as stored is on disk.
//
// DB implements orchestrator.Store, and the queries of the dashboard and the
// command line. Every method is one transaction: writers go one after the other
// over a single connection, readers each see a snapshot of their own. The tables
// are described in docs/schema.md.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/headwatch/headwatch/orchestrator"
)

const (
	// readers bounds the connections that read at the same time.
	readers = 4
	// busyWait is how long a statement waits for another process's lock. There
	// is one owner, so only a command that looks at the file can be in the way.
	busyWait = 10 * time.Second
	// maxRows bounds what one query of the dashboard returns.
	maxRows = 1000
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	// Now is the clock for what has no time of its own. Set it before use.
	Now func() time.Time

	path string
	w    *sql.DB // one connection; a transaction on it has the write lock from the start
	r    *sql.DB // cannot write
}

var _ orchestrator.Store = (*DB)(nil)

// Open opens the database at path, makes it when there is none, and brings its
// schema up to date. It refuses a file of a newer headwatch, one that belongs to
// another program, and one that is damaged, and changes nothing in them.
func Open(ctx context.Context, path string) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db := &DB{Now: time.Now, path: abs}
	steps, err := migrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	if _, err := db.inspect(ctx, len(steps)); err != nil {
		return nil, err
	}
	if db.w, err = sql.Open("sqlite3", dsn(abs, url.Values{
		"mode": {"rwc"}, "_journal_mode": {"WAL"}, "_txlock": {"immediate"},
	})); err != nil {
		return nil, db.explain("open database", err)
	}
	db.w.SetMaxOpenConns(1)
	if err := db.migrate(ctx, steps); err != nil {
		return nil, errors.Join(err, db.w.Close())
	}
	if db.r, err = sql.Open("sqlite3", dsn(abs, url.Values{
		"mode": {"ro"}, "_query_only": {"1"},
	})); err != nil {
		return nil, errors.Join(db.explain("open database", err), db.w.Close())
	}
	db.r.SetMaxOpenConns(readers)
	db.r.SetMaxIdleConns(readers)
	return db, nil
}

// Share opens the database at path beside its owner, to read it. It changes
// nothing, and refuses a schema that is not today's: the owner's headwatch is
// another version then.
func Share(ctx context.Context, path string) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db := &DB{Now: time.Now, path: abs}
	steps, err := migrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	version, err := db.inspect(ctx, len(steps))
	if err != nil {
		return nil, err
	}
	if version < len(steps) {
		return nil, fmt.Errorf("database %s has schema version %d, this headwatch has %d: run any command that owns the state directory first", abs, version, len(steps))
	}
	if db.r, err = sql.Open("sqlite3", dsn(abs, url.Values{"mode": {"rw"}, "_query_only": {"1"}})); err != nil {
		return nil, db.explain("open database", err)
	}
	db.r.SetMaxOpenConns(readers)
	return db, nil
}

// Close waits for queries under way and closes the file. The writer goes last:
// it folds the write-ahead log into the database.
func (db *DB) Close() error {
	if db.w == nil {
		return db.r.Close()
	}
	return errors.Join(db.r.Close(), db.w.Close())
}

// dsn names the file with the pragmas of a connection. They are here, and not in
// statements after opening, because the pool opens connections when it likes.
func dsn(path string, v url.Values) string {
	v.Set("_synchronous", "FULL")
	v.Set("_foreign_keys", "1")
	v.Set("_busy_timeout", fmt.Sprint(busyWait.Milliseconds()))
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + v.Encode()
}

// write runs f in a transaction that has the write lock. When it returns nil,
// what f wrote is on disk.
func (db *DB) write(ctx context.Context, what string, f func(*sql.Tx) error) error {
	return db.transact(ctx, db.w, what, f)
}

// read runs f in a transaction, so that all of its queries see one state.
func (db *DB) read(ctx context.Context, what string, f func(*sql.Tx) error) error {
	return db.transact(ctx, db.r, what, f)
}

func (db *DB) transact(ctx context.Context, pool *sql.DB, what string, f func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return db.explain(what, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := f(tx); err != nil {
		return db.explain(what, err)
	}
	return db.explain(what, tx.Commit())
}
