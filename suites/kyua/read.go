package kyua

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	readTime    = 2 * time.Minute
	cellBytes   = 32 << 20 // the largest value that SQLite makes for us
	schemaBytes = 64 << 10 // the longest statement: kyua's tables take 1 KiB each
	objects     = 64       // tables and indexes; kyua has 13
	headerBytes = 100      // of a database: https://sqlite.org/fileformat2.html#the_database_header
)

// Read reads a results file of kyua, schema version 3. What it reads may be
// damaged or made to do harm: it is opened read-only and immutable, checked as a
// whole, and read by an SQLite that may do nothing but read kyua's tables. The
// file must be complete, without a journal beside it. Every error is the rig's;
// ErrUnfinished is one of them.
func Read(ctx context.Context, path string, limits Limits) (Report, error) {
	limits = limits.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	report, err := read(ctx, path, limits)
	if err != nil {
		return Report{}, fmt.Errorf("kyua's results %s: %w", path, err)
	}
	return report, nil
}

func read(ctx context.Context, path string, limits Limits) (Report, error) {
	if err := checkFile(path, limits.FileBytes); err != nil {
		return Report{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Report{}, err
	}
	db := sql.OpenDB(connector("file:" + (&url.URL{Path: abs}).EscapedPath() + "?mode=ro&immutable=1"))
	defer db.Close()
	conn, err := db.Conn(ctx) // one, so that every query has the same guards
	if err != nil {
		return Report{}, err
	}
	defer conn.Close()
	if err := checkSchema(ctx, conn); err != nil {
		return Report{}, err
	}
	if err := checkIntegrity(ctx, conn); err != nil {
		return Report{}, err
	}
	return tables{conn, limits}.report(ctx)
}

// checkFile refuses what cannot be a whole database before SQLite sees it.
func checkFile(path string, limit int64) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() > limit:
		return fmt.Errorf("%d bytes, at most %d are read", info.Size(), limit)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	header := make([]byte, headerBytes)
	if _, err := io.ReadFull(file, header); err != nil || !strings.HasPrefix(string(header), "SQLite format 3\x00") {
		return errors.New("not an SQLite database")
	}
	page := int64(binary.BigEndian.Uint16(header[16:]))
	if page == 1 {
		page = 64 << 10
	}
	if want := page * int64(binary.BigEndian.Uint32(header[28:])); want != info.Size() {
		return fmt.Errorf("truncated or damaged: %d bytes, its header says %d", info.Size(), want)
	}
	return nil
}
