package kyua

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each of these is refused with a reason, and at once.
func TestReadHostile(t *testing.T) {
	for name, c := range map[string]struct{ statements, want string }{
		"view": {`ALTER TABLE contexts RENAME TO c; CREATE VIEW contexts AS
			WITH RECURSIVE n(cwd) AS (SELECT 1 UNION ALL SELECT cwd + 1 FROM n) SELECT * FROM n`, `not kyua's: its schema has a definition that begins with "CREATE VIEW c"`},
		"view that says table": {`CREATE VIEW v AS SELECT 1; PRAGMA writable_schema = 1;
			UPDATE sqlite_master SET type = 'table', rootpage = 2 WHERE name = 'v'`, "malformed database schema (v)"},
		"virtual table": {`CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)`, `begins with "CREATE VIRTUA"`},
		"trigger":       {`CREATE TRIGGER tr AFTER INSERT ON files BEGIN DELETE FROM files; END`, `begins with "CREATE TRIGGE"`},
		"computed column": {`DROP TABLE contexts; CREATE TABLE contexts (n, cwd AS (hex(zeroblob(1 << 20)))); INSERT INTO contexts (n) VALUES (1)`,
			"there is no column contexts.cwd"},
		"missing table":       {`DROP TABLE files`, "there is no column files."},
		"many tables":         {manyTables(), "more than 64 tables and indexes"},
		"old schema":          {`UPDATE metadata SET schema_version = 2`, "schema version 2, only 3 is read"},
		"version of no kind":  {`DELETE FROM metadata`, "it has no schema version"},
		"unknown word":        {`UPDATE test_results SET result_type = 'good', result_reason = NULL`, `unknown status "good"`},
		"word of no text":     {`UPDATE test_results SET result_type = x'ff00'`, "unknown status"},
		"passed with reason":  {`UPDATE test_results SET result_type = 'passed', result_reason = 'because'`, `passed with the reason "because"`},
		"failed without":      {`UPDATE test_results SET result_type = 'failed', result_reason = NULL`, `failed with the reason ""`},
		"time of no number":   {`UPDATE test_results SET start_time = 'noon'`, "start time noon is no time in µs"},
		"time that overflows": {`UPDATE test_results SET end_time = 9223372036854775807`, "end time 9223372036854775807 is no time"},
		"negative time":       {`UPDATE test_results SET start_time = -1`, "start time -1 is no time"},
		"two results":         {`UPDATE test_cases SET name = 'same', test_program_id = 1`, "two results of cases_test:same"},
		"name with a line":    {`UPDATE test_cases SET name = 'a' || char(10) || 'b'`, "is no name"},
		"name too long":       {`UPDATE test_cases SET name = printf('%.*c', 600, 'x')`, "is no name"},
		"no name":             {`UPDATE test_cases SET name = ''`, "is no name"},
		"no program":          {`DELETE FROM test_programs`, "is no name"},
		"colon in program":    {`UPDATE test_programs SET relative_path = 'a:b' || test_program_id`, "is no name"},
		"stray results":       {`DELETE FROM test_cases WHERE test_case_id > 9`, "3 results belong to no test case"},
	} {
		t.Run(name, func(t *testing.T) {
			path := results(t)
			edit(t, path, c.statements)
			began := time.Now()
			r, err := Read(t.Context(), path, Limits{})
			if err == nil || !strings.Contains(err.Error(), c.want) || len(r.Cases) != 0 {
				t.Errorf("%v, %d cases; want %s", err, len(r.Cases), c.want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func manyTables() string {
	s := ""
	for i := range 60 {
		s += fmt.Sprintf("CREATE TABLE t%d (a);", i)
	}
	return s
}

// What a definition in a file could make SQLite do, no statement may do.
func TestGuard(t *testing.T) {
	path := results(t)
	db := sql.OpenDB(connector("file:" + path + "?mode=ro&immutable=1"))
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `SELECT count(*), length(cwd), substr(cwd, 1, 2) FROM contexts`); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`DELETE FROM files`, `INSERT INTO contexts VALUES ('x')`, `CREATE TABLE x (y)`, `CREATE TEMP TABLE x (y)`,
		`SELECT hex(cwd) FROM contexts`, `SELECT load_extension('x')`, `SELECT * FROM metadatas`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n`,
		`ATTACH ':memory:' AS m`, `ATTACH '` + path + `' AS m`, `VACUUM INTO '` + path + `.copy'`,
		`PRAGMA query_only = 0`, `PRAGMA trusted_schema = 1`, `PRAGMA writable_schema = 1`, `PRAGMA journal_mode = WAL`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s is allowed", statement)
		}
	}
}

func TestReadNoDatabase(t *testing.T) {
	whole, err := os.ReadFile(results(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":   {nil, "not an SQLite database"},
		"text":    {[]byte(strings.Repeat("kyua ", 1000)), "not an SQLite database"},
		"header":  {whole[:100], "truncated or damaged: 100 bytes"},
		"cut":     {whole[:len(whole)-1], "truncated or damaged"},
		"half":    {whole[:len(whole)/8192*4096], "truncated or damaged"},
		"longer":  {append(whole[:len(whole):len(whole)], 0), "truncated or damaged"},
		"foreign": {foreign(t), "not kyua's: there is no column"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(t.Context(), path, Limits{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "no such file", dir: "not a regular file", os.DevNull: "not a regular file"} {
		if _, err := Read(t.Context(), path, Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func foreign(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "foreign.db")
	edit(t, path, `CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')`)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
