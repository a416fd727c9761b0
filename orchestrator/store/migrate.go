package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

// applicationID marks a file as ours; the first migration writes it.
const applicationID = 1751414627

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration takes the schema from the version before to Version.
type migration struct {
	Version int
	SQL     string
}

// migrations lists the embedded files in order. The file 0007_what.sql makes
// version 7; a gap or a repeated number is a mistake of ours.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var out []migration
	for i, name := range names {
		want := fmt.Sprintf("migrations/%04d_", i+1)
		if !strings.HasPrefix(name, want) {
			return nil, fmt.Errorf("%s: expected a name that starts with %s", name, want)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		out = append(out, migration{Version: i + 1, SQL: string(text)})
	}
	return out, nil
}

// inspect looks at a file before anything is written to it, and says its schema
// version. A file that is not there or empty has version 0; one that we must not
// touch is an error.
func (db *DB) inspect(ctx context.Context, newest int) (version int, err error) {
	info, err := os.Stat(db.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open database: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("open database: %s is not a file", db.path)
	}
	pool, err := sql.Open("sqlite3", dsn(db.path, url.Values{"mode": {"rw"}, "_query_only": {"1"}}))
	if err != nil {
		return 0, db.explain("open database", err)
	}
	defer pool.Close()
	var app, tables int
	err = pool.QueryRowContext(ctx, `SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id a, pragma_user_version v`).Scan(&app, &version, &tables)
	switch {
	case err != nil:
		return 0, db.explain("open database", err)
	case tables > 0 && app != applicationID:
		return 0, fmt.Errorf("open database: %s belongs to another program: choose another --state folder", db.path)
	case version > newest:
		return 0, fmt.Errorf("open database: %s has schema version %d, this headwatch knows up to %d: use a newer headwatch", db.path, version, newest)
	}
	return version, nil
}

// migrate carries out the migrations that the file lacks, one transaction each,
// so that a process killed between two goes on where it was.
func (db *DB) migrate(ctx context.Context, all []migration) error {
	for _, m := range all {
		err := db.write(ctx, fmt.Sprintf("bring the database to schema version %d", m.Version), func(tx *sql.Tx) error {
			var have int
			if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil || have >= m.Version {
				return err
			}
			if _, err := tx.ExecContext(ctx, m.SQL); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, m.Version))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
