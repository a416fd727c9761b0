package kyua

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/suites/kyua/guest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// atfShell finds the interpreter of ATF's shell tests, which FreeBSD keeps out of
// PATH.
func atfShell(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("kyua"); err != nil {
		t.Skip("kyua is not installed")
	}
	if path, err := exec.LookPath("atf-sh"); err == nil {
		return path
	}
	if _, err := os.Stat("/usr/libexec/atf-sh"); err != nil {
		t.Skip("atf-sh is not installed")
	}
	return "/usr/libexec/atf-sh"
}

// sample is a copy of testdata's test suite that runs on this host.
func sample(t testing.TB) string {
	t.Helper()
	shell, dir := atfShell(t), filepath.Join(t.TempDir(), "suite")
	if err := os.CopyFS(dir, os.DirFS("testdata/suite")); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "cases_test")
	text, err := os.ReadFile(program)
	if err == nil {
		text = regexp.MustCompile(`^#!.*`).ReplaceAll(text, []byte("#! "+shell))
		err = os.WriteFile(program, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cases_test", "plain_test", "sub/last_test"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ran is the results file of one run of the sample, made by kyua once for all
// tests.
var ran struct {
	sync.Mutex
	data []byte
}

// results is a fresh copy of it.
func results(t testing.TB) string {
	t.Helper()
	ran.Lock()
	defer ran.Unlock()
	path := filepath.Join(t.TempDir(), "results.db")
	if ran.data == nil {
		dir := sample(t)
		cmd := exec.CommandContext(t.Context(), "kyua", "--config=none", "--logfile="+filepath.Join(t.TempDir(), "log"), "test", "--results-file="+path)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SAMPLE=yes"}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("kyua: %v\n%s", err, out)
		}
		if ran.data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, ran.data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes a results file by SQL, as a hostile guest might.
func edit(t testing.TB, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// here is this host as a guest: the agent's operations, called as over the wire.
type here struct {
	runs *guest.Runs
	// alter changes an answer before the host sees it.
	alter func(op string, answer any) (any, error)
}

func newHere(t testing.TB) *here {
	h := &here{runs: guest.NewRuns()}
	t.Cleanup(func() {
		if err := h.runs.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *here) OS() string                     { return "freebsd" }
func (h *here) CPUs() int                      { return 1 }
func (h *here) Crashes() []string              { return nil }
func (h *here) PowerOff(context.Context) error { return nil }
func (h *here) Wire(int) net.Conn              { return nil }
func (h *here) MACs() []string                 { return nil }
func (h *here) Starved() time.Duration         { return 0 }

func (h *here) Call(ctx context.Context, op string, args, result any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	answer, err := h.runs.Operations()[op](ctx, raw)
	if err == nil && h.alter != nil {
		answer, err = h.alter(op, answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if raw, err = json.Marshal(answer); err != nil || result == nil {
		return err
	}
	return json.Unmarshal(raw, result)
}
