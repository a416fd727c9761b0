//go:build cgo

package kyua

import (
	"context"
	"database/sql/driver"
	"slices"

	"github.com/mattn/go-sqlite3"
)

// connector opens guarded connections; it is the address to open.
type connector string

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{ConnectHook: guard} }

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.Driver().Open(string(c)) }

// guard follows https://sqlite.org/security.html, section 1.1. SQLite's
// "defensive" flag, which the driver cannot set, keeps statements from damaging
// the file; here no statement may write at all. The driver has parsed the file's
// schema by now, without running any of it: what it says is checked next.
func guard(c *sqlite3.SQLiteConn) error {
	for id, limit := range map[int]int{
		sqlite3.SQLITE_LIMIT_LENGTH:        cellBytes,
		sqlite3.SQLITE_LIMIT_SQL_LENGTH:    schemaBytes,
		sqlite3.SQLITE_LIMIT_COLUMN:        100,
		sqlite3.SQLITE_LIMIT_EXPR_DEPTH:    20,
		sqlite3.SQLITE_LIMIT_VDBE_OP:       25_000,
		sqlite3.SQLITE_LIMIT_FUNCTION_ARG:  8,
		sqlite3.SQLITE_LIMIT_ATTACHED:      0,
		sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
	} {
		c.SetLimit(id, limit)
	}
	for _, pragma := range []string{"trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0"} {
		if _, err := c.Exec("PRAGMA "+pragma, nil); err != nil {
			return err
		}
	}
	c.RegisterAuthorizer(allow)
	return nil
}

// allow is asked for everything that a statement does, also by way of what the
// file defines.
func allow(op int, what, detail, _ string) int {
	ok := false
	switch op {
	case sqlite3.SQLITE_SELECT:
		ok = true
	case sqlite3.SQLITE_READ:
		_, ours := columns[what]
		ok = ours || what == "sqlite_master"
	case sqlite3.SQLITE_FUNCTION:
		ok = slices.Contains([]string{"length", "substr", "count"}, detail)
	case sqlite3.SQLITE_PRAGMA:
		ok = what == "integrity_check" || what == "table_xinfo"
	}
	if ok {
		return sqlite3.SQLITE_OK
	}
	return sqlite3.SQLITE_DENY
}
