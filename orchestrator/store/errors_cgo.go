//go:build cgo

package store

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// hint says what the user can do about an error of SQLite's, empty for others.
func (db *DB) hint(err error) string {
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return ""
	}
	switch {
	case se.Code == sqlite3.ErrFull || se.SystemErrno == syscall.ENOSPC || se.SystemErrno == syscall.EDQUOT:
		return fmt.Sprintf("the disk that holds %s is full, free some space", db.path)
	case isDamage(err):
		return db.path + " is damaged or not a database, run `headwatch fsck`"
	case se.Code == sqlite3.ErrCantOpen || se.Code == sqlite3.ErrPerm || se.Code == sqlite3.ErrReadonly:
		return db.path + " cannot be opened for writing, check its folder and permissions"
	case se.Code == sqlite3.ErrBusy || se.Code == sqlite3.ErrLocked:
		return fmt.Sprintf("%s has been locked by another process for %v", db.path, busyWait)
	case se.Code == sqlite3.ErrIoErr:
		return "reading or writing " + db.path
	}
	return ""
}

// isDamage tells the errors of a file that is not what SQLite wrote.
func isDamage(err error) bool {
	se, ok := errors.AsType[sqlite3.Error](err)
	return ok && (se.Code == sqlite3.ErrCorrupt || se.Code == sqlite3.ErrNotADB)
}
