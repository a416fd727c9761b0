package kyua

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/headwatch/headwatch/suites"
)

const (
	nameBytes   = 512
	valueBytes  = 4 << 10
	reasonBytes = 2 << 10
	envVars     = 1000
	lastMicro   = 253402300799_000000 // the last second of the year 9999, in µs
)

// tables reads a database that was found in order.
type tables struct {
	conn   *sql.Conn
	limits Limits
}

func (t tables) report(ctx context.Context) (Report, error) {
	var r Report
	if err := checkVersion(ctx, t.conn); err != nil {
		return r, err
	}
	var err error
	if r.Dir, err = t.dir(ctx); err != nil {
		return r, err
	}
	if r.Env, err = t.env(ctx); err != nil {
		return r, err
	}
	ids, cases, err := t.cases(ctx)
	if err != nil {
		return r, err
	}
	if err := t.strays(ctx); err != nil {
		return r, err
	}
	if err := t.outputs(ctx, ids, cases); err != nil {
		return r, err
	}
	r.Cases = cases
	return r, nil
}

// dir is in the same transaction as all results: without it there are none.
func (t tables) dir(ctx context.Context) (string, error) {
	var dir string
	err := t.conn.QueryRowContext(ctx, `SELECT substr(cwd, 1, ?) FROM contexts`, valueBytes).Scan(&dir)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrUnfinished
	}
	return line(dir, valueBytes), err
}

func (t tables) env(ctx context.Context) (map[string]string, error) {
	rows, err := t.conn.QueryContext(ctx, `SELECT substr(var_name, 1, ?), substr(var_value, 1, ?) FROM env_vars LIMIT ?`, nameBytes, valueBytes, envVars)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	env := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		env[line(name, nameBytes)] = strings.ToValidUTF8(value, "?")
	}
	return env, rows.Err()
}

// cases reads the cases and their identifiers. Times are µs since 1970; the plus
// signs keep the driver from taking them for something else by their columns'
// type.
func (t tables) cases(ctx context.Context) (ids []int64, cases []Case, err error) {
	rows, err := t.conn.QueryContext(ctx, `
		SELECT c.test_case_id, substr(p.relative_path, 1, ?1), substr(c.name, 1, ?1), substr(p.test_suite_name, 1, ?1), substr(p.interface, 1, ?1),
			substr(r.result_type, 1, ?1), substr(r.result_reason, 1, ?2), +r.start_time, +r.end_time
		FROM test_cases c
		LEFT JOIN test_programs p ON p.test_program_id = c.test_program_id
		LEFT JOIN test_results r ON r.test_case_id = c.test_case_id
		ORDER BY c.test_case_id LIMIT ?3`, nameBytes+1, reasonBytes+1, t.limits.Cases+1)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	seen := map[string]bool{}
	for rows.Next() {
		var raw rawCase
		if err := rows.Scan(&raw.id, &raw.program, &raw.name, &raw.suite, &raw.iface, &raw.word, &raw.reason, &raw.began, &raw.ended); err != nil {
			return nil, nil, err
		}
		c, err := raw.decode()
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("damaged: test case %d: %w", raw.id, err)
		case seen[c.ID()]:
			return nil, nil, fmt.Errorf("damaged: two results of %s", c.ID())
		case len(cases) == t.limits.Cases:
			return nil, nil, fmt.Errorf("more than %d test cases", t.limits.Cases)
		}
		seen[c.ID()] = true
		ids, cases = append(ids, raw.id), append(cases, c)
	}
	return ids, cases, rows.Err()
}

// strays are results that belong to no case: what is lost here would look as if
// it had never been tested.
func (t tables) strays(ctx context.Context) error {
	var n int
	err := t.conn.QueryRowContext(ctx, `
		SELECT count(*) FROM test_results r LEFT JOIN test_cases c ON c.test_case_id = r.test_case_id WHERE c.test_case_id IS NULL`).Scan(&n)
	if err == nil && n > 0 {
		err = fmt.Errorf("damaged: %d results belong to no test case", n)
	}
	return err
}

// rawCase is a row as SQLite has it: any column may hold any type.
type rawCase struct {
	id                         int64
	program, name              sql.NullString
	suite, iface, word, reason sql.NullString
	began, ended               any
}

func (raw rawCase) decode() (Case, error) {
	c := Case{Program: raw.program.String, Name: raw.name.String,
		Suite: line(raw.suite.String, nameBytes), Interface: line(raw.iface.String, nameBytes)}
	if !isName(c.Program) || !isName(c.Name) || strings.Contains(c.Program, ":") {
		return c, fmt.Errorf("%q in program %q is no name", c.Name, c.Program)
	}
	if !raw.word.Valid && raw.began == nil && raw.ended == nil {
		c.Status, c.Reason = suites.Broken, "unfinished: kyua recorded no result"
		return c, nil
	}
	if err := c.Status.UnmarshalText([]byte(raw.word.String)); err != nil {
		return c, err
	}
	if (c.Status == suites.Passed) != !raw.reason.Valid {
		return c, fmt.Errorf("%v with the reason %q", c.Status, raw.reason.String)
	}
	c.Reason = line(raw.reason.String, reasonBytes)
	began, ok := raw.began.(int64)
	if !ok || began < 0 || began > lastMicro {
		return c, fmt.Errorf("start time %v is no time in µs", raw.began)
	}
	ended, ok := raw.ended.(int64)
	if !ok || ended < 0 || ended > lastMicro {
		return c, fmt.Errorf("end time %v is no time in µs", raw.ended)
	}
	c.Began = time.UnixMicro(began).UTC()
	c.Duration = time.Duration(max(0, ended-began)) * time.Microsecond
	return c, nil
}

// isName keeps out what would not be one name everywhere it is shown.
func isName(s string) bool {
	return s != "" && len(s) <= nameBytes && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// outputs reads what the cases that failed or broke printed.
func (t tables) outputs(ctx context.Context, ids []int64, cases []Case) error {
	half := t.limits.OutputBytes / 2
	stmt, err := t.conn.PrepareContext(ctx, `
		SELECT length(f.contents),
			CASE WHEN length(f.contents) < ?3 THEN substr(f.contents, 1, ?4) END,
			CASE WHEN length(f.contents) < ?3 THEN substr(f.contents, -?4) END
		FROM test_case_files l JOIN files f ON f.file_id = l.file_id
		WHERE l.test_case_id = ?1 AND l.file_name = ?2`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	left := t.limits.TotalBytes
	for i := range cases {
		c := &cases[i]
		if c.Status != suites.Failed && c.Status != suites.Broken {
			continue
		}
		for _, stream := range []struct {
			file string
			out  *Output
		}{{"__STDOUT__", &c.Stdout}, {"__STDERR__", &c.Stderr}} {
			var head, tail []byte
			err := stmt.QueryRowContext(ctx, ids[i], stream.file, cellBytes, half).Scan(&stream.out.Bytes, &head, &tail)
			if errors.Is(err, sql.ErrNoRows) {
				continue // printed nothing
			}
			if err != nil {
				return fmt.Errorf("output of %s: %w", c.ID(), err)
			}
			// Of a text SQLite cuts characters, not bytes.
			head, tail = head[:min(half, len(head))], tail[max(0, len(tail)-half):]
			if text := join(head, tail, stream.out.Bytes); len(text) <= left {
				stream.out.Text = text
				left -= len(text)
			}
		}
	}
	return nil
}

// join puts the two ends of a stream of so many bytes together.
func join(head, tail []byte, bytes int64) string {
	gap := bytes - int64(len(head)) - int64(len(tail))
	middle := ""
	if gap > 0 {
		middle = cutNote(gap)
	} else { // they overlap, or touch
		tail = tail[min(-gap, int64(len(tail))):]
	}
	return strings.ToValidUTF8(string(head)+middle+string(tail), "?")
}
