package kyua

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/headwatch/headwatch/suites"
)

// sampleCases are what kyua says of testdata's suite.
var sampleCases = map[string]struct {
	status suites.Status
	reason string
}{
	"cases_test:passes":        {suites.Passed, ""},
	"cases_test:fails":         {suites.Failed, "two and two is five"},
	"cases_test:talks":         {suites.Failed, "said too much"},
	"cases_test:crashes":       {suites.Broken, "Premature exit; test case received signal 9"},
	"cases_test:hangs":         {suites.Broken, "Test case body timed out"},
	"cases_test:skips":         {suites.Skipped, "no such device"},
	"cases_test:needs":         {suites.Skipped, "Required program 'no-such-program' not found in PATH"},
	"cases_test:known_failure": {suites.ExpectedFailure, "PR 4711: still broken"},
	"cases_test:known_death":   {suites.ExpectedFailure, "PR 4712"},
	"cases_test:mended":        {suites.Failed, "Test case was expecting a failure but none were raised"},
	"plain_test:main":          {suites.Failed, "Returned non-success exit status 3"},
	"sub/last_test:main":       {suites.Passed, ""},
}

func byID(cases []Case) map[string]Case {
	m := map[string]Case{}
	for _, c := range cases {
		m[c.ID()] = c
	}
	return m
}

func TestRead(t *testing.T) {
	path := results(t)
	before := time.Now()
	r, err := Read(t.Context(), path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(r.Dir) != "suite" || r.Env["SAMPLE"] != "yes" {
		t.Errorf("context: %q, %v", r.Dir, r.Env)
	}
	cases := byID(r.Cases)
	if len(cases) != len(sampleCases) || len(r.Cases) != len(sampleCases) {
		t.Errorf("%d cases, want %d", len(r.Cases), len(sampleCases))
	}
	for id, want := range sampleCases {
		c := cases[id]
		if c.Status != want.status || c.Reason != want.reason {
			t.Errorf("%s: %v %q, want %v %q", id, c.Status, c.Reason, want.status, want.reason)
		}
		if c.Suite != "sample" || c.Began.After(before) || before.Sub(c.Began) > time.Hour {
			t.Errorf("%s: suite %q, began %v", id, c.Suite, c.Began)
		}
		if id == "cases_test:hangs" && (c.Duration < time.Second || c.Duration > time.Minute) {
			t.Errorf("%s took %v", id, c.Duration)
		}
	}
	if c := cases["cases_test:fails"]; c.Stdout != (Output{"to standard output\n", 19}) || c.Stderr != (Output{"to standard error\n", 18}) || c.Interface != "atf" {
		t.Errorf("%+v", c)
	}
	if c := cases["cases_test:passes"]; c.Stdout != (Output{}) {
		t.Errorf("the output of a case that passed: %+v", c.Stdout)
	}
	if c := cases["plain_test:main"]; c.Stdout.Text != "plain\n" || c.Interface != "plain" {
		t.Errorf("%+v", c)
	}
	long := cases["cases_test:talks"].Stdout
	usual := (Limits{}).withDefaults().OutputBytes
	if long.Bytes < int64(2*usual) || len(long.Text) > usual+100 || !strings.HasPrefix(long.Text, "first\n") ||
		!strings.HasSuffix(long.Text, "\nlast\n") || !strings.Contains(long.Text, " bytes left out]\n") {
		t.Errorf("%d bytes, of which %d are kept: %.40q", long.Bytes, len(long.Text), long.Text)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) != 1 {
		t.Errorf("reading leaves %v", left)
	}
}

func TestReadLimits(t *testing.T) {
	path := results(t)
	whole, err := Read(t.Context(), path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for want, limits := range map[string]Limits{
		"more than 3 test cases":        {Cases: 3},
		" bytes, at most 4096 are read": {FileBytes: 4096},
	} {
		if _, err := Read(t.Context(), path, limits); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	short, err := Read(t.Context(), path, Limits{OutputBytes: 8, TotalBytes: 100, Cases: len(whole.Cases)})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, c := range short.Cases {
		total += len(c.Stdout.Text) + len(c.Stderr.Text)
	}
	if c := byID(short.Cases)["cases_test:fails"]; c.Stdout != (Output{"to s\n[11 bytes left out]\nput\n", 19}) || total > 100 {
		t.Errorf("%+v, %d bytes in all", c.Stdout, total)
	}
	if diff := cmp.Diff(whole, short, cmpopts.IgnoreFields(Case{}, "Stdout", "Stderr")); diff != "" {
		t.Error(diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, path, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// An interrupted kyua leaves a database in order, without results.
func TestReadUnfinished(t *testing.T) {
	dir, path := sample(t), filepath.Join(t.TempDir(), "results.db")
	cmd := exec.CommandContext(t.Context(), "kyua", "--config=none", "--logfile="+filepath.Join(t.TempDir(), "log"), "test", "--results-file="+path)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(out).ReadString('>'); err != nil {
		t.Errorf("kyua said %q, %v", said, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil {
		t.Fatal("kyua was not interrupted")
	}
	if r, err := Read(t.Context(), path, Limits{}); !errors.Is(err, ErrUnfinished) || len(r.Cases) != 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A test case without a result did not finish, whatever its neighbours did.
func TestReadCaseWithoutResult(t *testing.T) {
	path := results(t)
	edit(t, path, `DELETE FROM test_results WHERE test_case_id = (SELECT test_case_id FROM test_cases WHERE name = 'passes')`)
	r, err := Read(t.Context(), path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if c := byID(r.Cases)["cases_test:passes"]; c.Status != suites.Broken || !strings.HasPrefix(c.Reason, "unfinished") {
		t.Errorf("%+v", c)
	}
}

// A test that sets the clock back takes no time; it does not take less.
func TestReadClockSetBack(t *testing.T) {
	path := results(t)
	edit(t, path, `UPDATE test_results SET end_time = start_time - 3600000000`)
	r, err := Read(t.Context(), path, Limits{})
	if err != nil || r.Cases[0].Duration != 0 {
		t.Errorf("%v, %+v", err, r.Cases)
	}
}

func TestReadHugeOutput(t *testing.T) {
	path := results(t)
	edit(t, path, `UPDATE files SET contents = zeroblob(40 << 20) WHERE file_id = (
		SELECT file_id FROM test_case_files JOIN test_cases USING (test_case_id) WHERE name = 'fails' AND file_name = '__STDOUT__')`)
	r, err := Read(t.Context(), path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if c := byID(r.Cases)["cases_test:fails"]; c.Stdout.Bytes != 40<<20 || len(c.Stdout.Text) > 100 {
		t.Errorf("%d bytes, %d kept", c.Stdout.Bytes, len(c.Stdout.Text))
	}
}

// damage spoils one to eight places of a file.
func damage(data []byte, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	for range 1 + random.IntN(8) {
		at := random.IntN(len(data))
		if random.IntN(4) == 0 { // headers of pages are where it hurts most
			at = at&^4095 + random.IntN(16)
		}
		data[min(at, len(data)-1)] ^= 1 << random.IntN(8)
	}
}

// Damage is an error or goes unseen in what a test printed; it never takes the
// reader down, and never makes a result out of nothing.
func TestReadDamaged(t *testing.T) {
	path := results(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for seed := range uint64(300) {
		data := append([]byte(nil), whole...)
		damage(data, seed)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Read(t.Context(), path, Limits{})
		if err != nil {
			refused++
			continue
		}
		for _, c := range r.Cases {
			if c.Status < suites.Passed || c.Status > suites.ExpectedFailure || c.Duration < 0 || !isName(c.Program) || !isName(c.Name) {
				t.Fatalf("seed %d: %+v", seed, c)
			}
		}
	}
	if refused < 50 {
		t.Errorf("only %d of 300 damaged files were refused", refused)
	}
}

// The fuzzed input is what to change in a good file, three bytes a change: where,
// big-endian, and the new value. Whole files would be too large for the fuzzer.
func FuzzRead(f *testing.F) {
	whole, err := os.ReadFile(results(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte{0, 100, 5, 16, 0, 255})
	f.Fuzz(func(t *testing.T, changes []byte) {
		data := append([]byte(nil), whole...)
		for ; len(changes) >= 3; changes = changes[3:] {
			data[(int(changes[0])<<8|int(changes[1]))%len(data)] = changes[2]
		}
		path := filepath.Join(t.TempDir(), "fuzz.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := Read(t.Context(), path, Limits{}); time.Since(began) > 10*time.Second {
			t.Errorf("took %v: %v", time.Since(began), err)
		}
	})
}
