package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/headwatch/headwatch/orchestrator"
)

func TestOpenMakesAndReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder?with #odd%20name", "headwatch.db")
	ok(t, os.MkdirAll(filepath.Dir(path), 0o755))
	for range 3 {
		db, err := Open(t.Context(), path)
		ok(t, err)
		line(t, db, 3)
		head, err := db.Head(t.Context(), upstream)
		if err != nil || head != hashOf(3) {
			t.Errorf("head %q, %v; want %q", head, err, hashOf(3))
		}
		ok(t, db.Close())
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("after closing: %v, %v; want the database alone", names, err)
	}
	if found, err := Check(t.Context(), path); err != nil || len(found) > 0 {
		t.Errorf("check: %v, %v", found, err)
	}
}

func TestEveryConnectionHasThePragmas(t *testing.T) {
	db := opened(t)
	for _, pool := range []struct {
		name string
		db   *sql.DB
		conn int
		want map[string]string
	}{
		{"writer", db.w, 1, map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "query_only": "0", "busy_timeout": "10000"}},
		{"readers", db.r, readers, map[string]string{"journal_mode": "wal", "foreign_keys": "1", "query_only": "1", "busy_timeout": "10000"}},
	} {
		var held []*sql.Conn
		for range pool.conn {
			c, err := pool.db.Conn(t.Context())
			ok(t, err)
			held = append(held, c)
			for pragma, want := range pool.want {
				var got string
				ok(t, c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
				if got != want {
					t.Errorf("%s: %s is %s, want %s", pool.name, pragma, got, want)
				}
			}
		}
		for _, c := range held {
			ok(t, c.Close())
		}
	}
	if _, err := db.r.Exec(`DELETE FROM commits`); err == nil {
		t.Error("a reader can write")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		ok(t, os.WriteFile(path, content, 0o644))
		return path
	}
	sqlite := func(name, script string) string {
		path := filepath.Join(dir, name)
		raw, err := sql.Open("sqlite3", path)
		ok(t, err)
		_, err = raw.Exec(script)
		ok(t, errors.Join(err, raw.Close()))
		return path
	}
	whole := filepath.Join(dir, "whole.db")
	db, err := Open(t.Context(), whole)
	ok(t, err)
	ok(t, db.Close())
	content, err := os.ReadFile(whole)
	ok(t, err)
	for name, test := range map[string]struct{ path, want string }{
		"newer":       {sqlite("newer.db", `CREATE TABLE t (x); PRAGMA application_id = 1751414627; PRAGMA user_version = 99`), "schema version 99, this headwatch knows up to 5"},
		"other":       {sqlite("other.db", `CREATE TABLE bookmarks (x)`), "belongs to another program"},
		"text":        {file("text.db", []byte(strings.Repeat("not a database\n", 500))), "headwatch fsck"},
		"truncated":   {file("cut.db", content[:len(content)/3]), "headwatch fsck"},
		"overwritten": {file("bad.db", append(bytes.Clone(content[:100]), bytes.Repeat([]byte{0xee}, len(content)-100)...)), "headwatch fsck"},
		"folder":      {dir, "is not a file"},
		"no folder":   {filepath.Join(dir, "none", "x.db"), "check its folder"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(test.path)
			db, err := Open(t.Context(), test.path)
			if err == nil {
				t.Fatal("opened", db.Close())
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), filepath.Base(test.path)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q: want one line with %q and the file's name", err, test.want)
			}
			if after, _ := os.ReadFile(test.path); !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	db := opened(t)
	_, err := db.w.Exec(`PRAGMA max_page_count = 60`)
	ok(t, err)
	u := orchestrator.Update{}
	for i := 1; i <= 5000; i++ {
		u.New = append(u.New, commitAt(i))
	}
	err = db.AddUpdate(t.Context(), upstream, u)
	if err == nil || !strings.Contains(err.Error(), "is full, free some space") || !strings.Contains(err.Error(), db.path) {
		t.Fatalf("got %v, want that the disk of %s is full", err, db.path)
	}
	if head, err := db.Head(t.Context(), upstream); err != nil || head != "" {
		t.Errorf("head %q, %v: half an update was stored", head, err)
	}
	_, err = db.w.Exec(`PRAGMA max_page_count = 100000`)
	ok(t, err)
	ok(t, db.AddUpdate(t.Context(), upstream, u))
}

func TestMigrationsAreNumbered(t *testing.T) {
	sound := fstest.MapFS{"migrations/0001_a.sql": {Data: []byte("A")}, "migrations/0002_b.sql": {Data: []byte("B")}}
	got, err := migrations(sound)
	if err != nil || len(got) != 2 || got[1] != (migration{2, "B"}) {
		t.Errorf("got %v, %v", got, err)
	}
	gap := fstest.MapFS{"migrations/0001_a.sql": {}, "migrations/0003_c.sql": {}}
	if _, err := migrations(gap); err == nil || !strings.Contains(err.Error(), "0003_c.sql") {
		t.Errorf("a gap gave %v", err)
	}
}

func TestMigrationIsAllOrNothing(t *testing.T) {
	db := opened(t)
	steps, err := migrations(migrationFiles)
	ok(t, err)
	bad := migration{Version: len(steps) + 1, SQL: `CREATE TABLE half (x TEXT) STRICT; INSERT INTO nowhere VALUES (1);`}
	if err := db.migrate(t.Context(), append(steps, bad)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("schema version %d", bad.Version)) {
		t.Errorf("a bad migration gave %v", err)
	}
	var version, half int
	ok(t, db.w.QueryRow(`SELECT v.user_version, (SELECT count(*) FROM sqlite_schema WHERE name = 'half') FROM pragma_user_version v`).Scan(&version, &half))
	if version != len(steps) || half != 0 {
		t.Errorf("version %d, %d half tables", version, half)
	}
}
