//go:build !cgo

package kyua

import (
	"context"
	"database/sql/driver"
	"errors"
)

// connector opens nothing: SQLite needs cgo. The package compiles so that all else
// can be checked for another system without its C compiler.
type connector string

var errNoSQLite = errors.New("this headwatch was built without SQLite")

func (c connector) Driver() driver.Driver { return nil }

func (c connector) Connect(context.Context) (driver.Conn, error) { return nil, errNoSQLite }
