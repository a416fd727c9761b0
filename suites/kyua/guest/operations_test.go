//go:build linux || freebsd

package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// perform calls an operation as the agent does, and takes its answer through
// JSON as the host does.
func perform[Result any](t *testing.T, r *Runs, op string, args any) (Result, error) {
	t.Helper()
	var result Result
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.Operations()[op](t.Context(), raw)
	if err != nil {
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			t.Errorf("%s: %v would read as the kernel's refusal", op, err)
		}
		return result, err
	}
	if raw, err = json.Marshal(answer); err == nil {
		err = json.Unmarshal(raw, &result)
	}
	if err != nil {
		t.Fatal(err)
	}
	return result, nil
}

func newRuns(t *testing.T) *Runs {
	if _, err := exec.LookPath("kyua"); err != nil {
		t.Skip("kyua is not installed")
	}
	t.Setenv("TMPDIR", t.TempDir())
	r := NewRuns()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return r
}

// tests is a folder with one plain test, a shell script.
func tests(t *testing.T, script string) StartArgs {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Kyuafile": "syntax(2)\ntest_suite('t')\nplain_test_program{name='it'}\n", "it": "#!/bin/sh\n" + script + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return StartArgs{Dir: dir, TimeoutS: 60, Env: []string{"HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir()}, Variables: []string{"parallelism=1"}}
}

func start(t *testing.T, r *Runs, args StartArgs) string {
	t.Helper()
	s, err := perform[Started](t, r, OpStart, args)
	if err != nil || s.Run == "" || s.Missing != "" {
		t.Fatalf("%+v, %v", s, err)
	}
	return s.Run
}

// follow polls until stop says so, or to the end.
func follow(t *testing.T, r *Runs, run string, stop func(log string) bool) (log string, end *End) {
	t.Helper()
	for offset := int64(0); end == nil && !stop(log); {
		p, err := perform[Progress](t, r, OpPoll, PollArgs{run, offset, 20})
		if err != nil {
			t.Fatal(err)
		}
		if p.From != offset || p.Next < offset {
			t.Fatalf("asked from %d: %+v", offset, p)
		}
		log, end, offset = log+p.Log, p.End, p.Next
	}
	return log, end
}

func never(string) bool { return false }

func TestRun(t *testing.T) {
	r := newRuns(t)
	run := start(t, r, tests(t, "echo said; exit 1"))
	log, end := follow(t, r, run, never)
	if !strings.HasPrefix(log, "it:main  ->  failed: Returned non-success exit status 1") || !strings.Contains(log, "0/1 passed (1 failed)") {
		t.Errorf("%q", log)
	}
	if end.Exit != 1 || end.Signal != "" || end.TimedOut || end.Fault != "" || end.DurationS <= 0 {
		t.Errorf("%+v", end)
	}
	c, err := perform[Chunk](t, r, OpFetch, FetchArgs{run, 0})
	if err != nil || !bytes.HasPrefix(c.Data, []byte("SQLite format 3\x00")) || int64(len(c.Data)) != end.Bytes {
		t.Errorf("%d bytes, %v; want %d", len(c.Data), err, end.Bytes)
	}
	if sum := sha256.Sum256(c.Data); hex.EncodeToString(sum[:]) != end.Digest {
		t.Errorf("digest %s", end.Digest)
	}
	if c, err := perform[Chunk](t, r, OpFetch, FetchArgs{run, end.Bytes - 7}); err != nil || len(c.Data) != 7 {
		t.Errorf("the last 7 bytes: %d, %v", len(c.Data), err)
	}
	if _, err := perform[Chunk](t, r, OpFetch, FetchArgs{run, -1}); err == nil {
		t.Error("a chunk before the file")
	}
	if _, err := perform[struct{}](t, r, OpCleanup, CleanupArgs{run}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(run); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the cleanup: %v", err)
	}
	for _, op := range []string{OpPoll, OpFetch, OpCleanup} {
		if _, err := perform[struct{}](t, r, op, CleanupArgs{run}); err == nil || !strings.HasPrefix(err.Error(), "there is no run ") {
			t.Errorf("%s after the cleanup: %v", op, err)
		}
	}
}

func running(log string) bool { return strings.Contains(log, "->") }

// While a test runs there is its name, and no results. A cleanup ends it.
func TestRunUnderWay(t *testing.T) {
	r := newRuns(t)
	mark := filepath.Join(t.TempDir(), "pid")
	run := start(t, r, tests(t, "echo $$ >"+mark+"; kill -STOP $$"))
	log, end := follow(t, r, run, running)
	if log != "it:main  ->  " || end != nil {
		t.Errorf("%q, %+v", log, end)
	}
	if p, err := perform[Progress](t, r, OpPoll, PollArgs{run, int64(len(log)), 0.01}); err != nil || p.Log != "" || p.End != nil || p.Next != int64(len(log)) {
		t.Errorf("nothing new: %+v, %v", p, err)
	}
	if _, err := perform[Chunk](t, r, OpFetch, FetchArgs{run, 0}); err == nil {
		t.Error("a chunk of a file that is being written")
	}
	if _, err := perform[struct{}](t, r, OpCleanup, CleanupArgs{run}); err != nil {
		t.Error(err)
	}
	gone(t, mark)
}

// gone checks that the process whose id is in a file ended; a test that had not
// come to write it never ran.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("still there: %s", stat)
	}
}

func TestRunTimeout(t *testing.T) {
	r := newRuns(t)
	args := tests(t, "sleep 600")
	args.TimeoutS = 0.3
	log, end := follow(t, r, start(t, r, args), never)
	if !end.TimedOut || end.Exit != -1 || end.Signal != "terminated" || end.DurationS > 15 || !strings.Contains(log, "Interrupted by signal") {
		t.Errorf("%+v\n%s", end, log)
	}
}

// A new host starts anew, whatever the one before left.
func TestStartEndsTheRunBefore(t *testing.T) {
	r := newRuns(t)
	old := start(t, r, tests(t, "sleep 600"))
	follow(t, r, old, running)
	run := start(t, r, tests(t, "exit 0"))
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run before: %v", err)
	}
	if _, end := follow(t, r, run, never); end.Exit != 0 || end.Fault != "" {
		t.Errorf("%+v", end)
	}
}

// kyua that is killed leaves a journal, and its results file is not whole.
func TestRunKilled(t *testing.T) {
	r := newRuns(t)
	args := tests(t, "kill -9 $PPID; sleep 2") // kyua is the test's parent
	run := start(t, r, args)
	log, end := follow(t, r, run, never)
	if end.Signal != "killed" || end.Exit != -1 || end.TimedOut || !strings.Contains(end.Fault, "journal") {
		t.Errorf("%+v\n%s", end, log)
	}
	if _, err := perform[Chunk](t, r, OpFetch, FetchArgs{run, 0}); err == nil || err.Error() != end.Fault {
		t.Errorf("fetch: %v", err)
	}
}

func TestMissing(t *testing.T) {
	r := newRuns(t)
	args := tests(t, "exit 0")
	args.Dir += "/none"
	if s, err := perform[Started](t, r, OpStart, args); err != nil || s.Run != "" || s.Missing != "no tests are installed: there is no "+args.Dir+"/Kyuafile" {
		t.Errorf("%+v, %v", s, err)
	}
	args.Env = append(args.Env, "PATH="+args.Dir)
	if s, err := perform[Started](t, r, OpStart, args); err != nil || s.Run != "" || s.Missing != "kyua is not installed" {
		t.Errorf("%+v, %v", s, err)
	}
}

// kyua's own faults come with its words and without results.
func TestRunRefused(t *testing.T) {
	r := newRuns(t)
	args := tests(t, "exit 0")
	args.Variables = []string{"parallelism=many"}
	log, end := follow(t, r, start(t, r, args), never)
	if end.Exit <= 1 || end.Fault != "kyua left no results file" || !strings.Contains(log, "parallelism") {
		t.Errorf("%+v\n%s", end, log)
	}
	args.Env = append(args.Env, "PATH="+t.TempDir())
	fake := filepath.Join(strings.TrimPrefix(args.Env[len(args.Env)-1], "PATH="), "kyua")
	if err := os.WriteFile(fake, []byte("no program\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := perform[Started](t, r, OpStart, args); err == nil || !strings.HasPrefix(err.Error(), "start kyua: ") {
		t.Errorf("a program that does not start: %v", err)
	}
}

func TestArguments(t *testing.T) {
	r := NewRuns()
	for name, op := range r.Operations() {
		if _, err := op(t.Context(), json.RawMessage(`{"`)); err == nil || !strings.HasPrefix(err.Error(), "arguments: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, seconds := range []float64{0, -1, 1e9} {
		if _, err := perform[Started](t, r, OpStart, StartArgs{TimeoutS: seconds}); err == nil {
			t.Errorf("%v s are accepted", seconds)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	l := newTail(8)
	_, _, _, changed := l.from(0, 100)
	for _, s := range []string{"abc", "defgh", "ij"} {
		l.Write([]byte(s))
	}
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("a write went unnoticed")
	}
	for _, c := range []struct {
		offset     int64
		limit      int
		text       string
		begin, end int64
	}{
		{0, 100, "cdefghij", 2, 10}, {5, 100, "fghij", 5, 10}, {5, 2, "fg", 5, 7}, {10, 100, "", 10, 10},
		{99, 100, "", 10, 10}, {-5, 3, "cde", 2, 5},
	} {
		if text, begin, end, _ := l.from(c.offset, c.limit); text != c.text || begin != c.begin || end != c.end {
			t.Errorf("from %d: %q, %d to %d; want %+v", c.offset, text, begin, end, c)
		}
	}
	l.Write([]byte("0123456789\xff"))
	if text, begin, _, _ := l.from(0, 100); text != "3456789?" || begin != 13 {
		t.Errorf("%q from %d", text, begin)
	}
}
