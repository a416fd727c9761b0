package store

import (
	"errors"
	"fmt"
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
	if hint := db.hint(err); hint != "" {
		return fmt.Errorf("%s: %s: %w", what, hint, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
