//go:build !cgo

package store

// hint is empty: without cgo the driver only says that it needs cgo, in an error
// without a type. The package compiles so that all else can be checked for another
// system without its C compiler.
func (db *DB) hint(error) string { return "" }

func isDamage(error) bool { return false }
