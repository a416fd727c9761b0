package kyua

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// schemaVersion is the one that kyua has written since 2014.
const schemaVersion = 3

// columns of kyua's tables that are read; store/schema_v3.sql in kyua's source
// describes them.
var columns = map[string][]string{
	"metadata":        {"schema_version"},
	"contexts":        {"cwd"},
	"env_vars":        {"var_name", "var_value"},
	"test_programs":   {"test_program_id", "relative_path", "test_suite_name", "interface"},
	"test_cases":      {"test_case_id", "test_program_id", "name"},
	"test_results":    {"test_case_id", "result_type", "result_reason", "start_time", "end_time"},
	"test_case_files": {"test_case_id", "file_name", "file_id"},
	"files":           {"file_id", "contents"},
}

// checkSchema makes sure that a name which is read stands for stored values. What
// a name stands for is in the text of its definition: a view or a virtual table
// would run whatever the file's author likes.
func checkSchema(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, `SELECT substr(sql, 1, 13) FROM sqlite_master WHERE sql IS NOT NULL LIMIT ?`, objects+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var begins string
		if err := rows.Scan(&begins); err != nil {
			return err
		}
		if begins != "CREATE TABLE " && begins != "CREATE INDEX " {
			return fmt.Errorf("not kyua's: its schema has a definition that begins with %q", begins)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n > objects {
		return fmt.Errorf("not kyua's: more than %d tables and indexes", objects)
	}
	for table, want := range columns {
		if err := checkTable(ctx, conn, table, want); err != nil {
			return err
		}
	}
	return nil
}

// checkTable expects ordinary columns, not such that are computed.
func checkTable(ctx context.Context, conn *sql.Conn, table string, want []string) error {
	rows, err := conn.QueryContext(ctx, "PRAGMA table_xinfo("+table+")")
	if err != nil {
		return err
	}
	defer rows.Close()
	var has []string
	for rows.Next() {
		var name string
		var hidden int
		var other any
		if err := rows.Scan(&other, &name, &other, &other, &other, &other, &hidden); err != nil {
			return err
		}
		if hidden == 0 {
			has = append(has, name)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range want {
		if !slices.Contains(has, name) {
			return fmt.Errorf("not kyua's: there is no column %s.%s", table, name)
		}
	}
	return nil
}

// checkIntegrity reads the whole file. Without it, pages that several rows share
// could make a small file look very large.
func checkIntegrity(ctx context.Context, conn *sql.Conn) error {
	var verdict string
	if err := conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("damaged: %s", line(verdict, reasonBytes))
	}
	return nil
}

// checkVersion reads the newest row of the table, as kyua does.
func checkVersion(ctx context.Context, conn *sql.Conn) error {
	var version any
	err := conn.QueryRowContext(ctx, `SELECT +schema_version FROM metadata ORDER BY schema_version DESC LIMIT 1`).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("not kyua's: it has no schema version")
	}
	if err != nil {
		return err
	}
	if version != int64(schemaVersion) {
		return fmt.Errorf("schema version %v, only %d is read: kyua db-migrate brings old files up to it", version, schemaVersion)
	}
	return nil
}

// line makes one line of at most limit bytes of what a guest said.
func line(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
