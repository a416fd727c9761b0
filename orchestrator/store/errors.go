package store

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

var (
	// ErrNotFound is returned for an id or a prefix that names nothing.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous is returned for a prefix that more than one id starts with.
	ErrAmbiguous = errors.New("ambiguous: give more digits")
)

// explain says what was being done, and turns what the user can do something
// about into words. A nil error stays nil.
func (db *DB) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch {
	case se.Code == sqlite3.ErrFull || se.SystemErrno == syscall.ENOSPC || se.SystemErrno == syscall.EDQUOT:
		return fmt.Errorf("%s: the disk that holds %s is full, free some space: %w", what, db.path, err)
	case isDamage(err):
		return fmt.Errorf("%s: %s is damaged or not a database, run `headwatch fsck`: %w", what, db.path, err)
	case se.Code == sqlite3.ErrCantOpen || se.Code == sqlite3.ErrPerm || se.Code == sqlite3.ErrReadonly:
		return fmt.Errorf("%s: %s cannot be opened for writing, check its folder and permissions: %w", what, db.path, err)
	case se.Code == sqlite3.ErrBusy || se.Code == sqlite3.ErrLocked:
		return fmt.Errorf("%s: %s has been locked by another process for %v: %w", what, db.path, busyWait, err)
	case se.Code == sqlite3.ErrIoErr:
		return fmt.Errorf("%s: reading or writing %s: %w", what, db.path, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// isDamage tells the errors of a file that is not what SQLite wrote.
func isDamage(err error) bool {
	se, ok := errors.AsType[sqlite3.Error](err)
	return ok && (se.Code == sqlite3.ErrCorrupt || se.Code == sqlite3.ErrNotADB)
}
