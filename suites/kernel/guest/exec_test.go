//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// perform calls an operation as the agent does, and takes its answer through
// JSON as the host does.
func perform[Result any](t *testing.T, ctx context.Context, op string, args any) (Result, error) {
	t.Helper()
	var result Result
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Operations()[op](ctx, raw)
	if err != nil {
		return result, err
	}
	if raw, err = json.Marshal(answer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatal(err)
	}
	return result, nil
}

func shell(script string) ExecArgs { return ExecArgs{Argv: []string{"/bin/sh", "-c", script}} }

func TestExec(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		args ExecArgs
		want Exec
	}{
		{"exit", shell("echo out; echo err >&2; exit 3"), Exec{Exit: 3, Stdout: Output{Head: []byte("out\n")}, Stderr: Output{Head: []byte("err\n")}}},
		{"signal", shell("kill -SEGV $$"), Exec{Exit: -1, Signal: "SIGSEGV"}},
		{"stdin, env, dir", ExecArgs{Argv: []string{"/bin/sh", "-c", `cat; echo "$A"; pwd`}, Env: []string{"A=b"}, Dir: dir, Stdin: []byte("in\n")}, Exec{Stdout: Output{Head: []byte("in\nb\n" + dir + "\n")}}},
		{"long output", ExecArgs{Argv: shell("echo 0123456789abcdef").Argv, OutputLimit: 8}, Exec{Stdout: Output{Head: []byte("0123"), Tail: []byte("def\n"), Dropped: 9}}},
	} {
		got, err := perform[Exec](t, t.Context(), OpExec, tt.args)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got.Duration <= 0 || got.Duration > 10 {
			t.Errorf("%s took %v s", tt.name, got.Duration)
		}
		got.Duration = 0
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// The timeout takes the whole group: a grandchild that outlives its parent would
// hold a pipe open and go on loading the guest.
func TestExecTimeout(t *testing.T) {
	args := shell("sleep 600 & echo $!; wait")
	args.TimeoutS = 0.3
	got, err := perform[Exec](t, t.Context(), OpExec, args)
	if err != nil || !got.TimedOut || got.Signal != "SIGKILL" || got.Duration > 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	checkGone(t, string(got.Stdout.Head))
}

func TestExecHeldOutput(t *testing.T) {
	got, err := perform[Exec](t, t.Context(), OpExec, shell("sleep 600 & echo $!"))
	if err != nil || !got.Held || got.Exit != 0 || got.TimedOut {
		t.Fatalf("%+v, %v", got, err)
	}
	checkGone(t, string(got.Stdout.Head))
}

// checkGone waits until a process has ended, be it as a zombie that nobody reaps.
func checkGone(t *testing.T, text string) {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(text, &pid); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d lives on", pid)
}

func TestExecErrors(t *testing.T) {
	plain := t.TempDir() + "/plain"
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	var errno syscall.Errno
	for _, args := range []ExecArgs{
		{},
		{Argv: []string{"/nonexistent"}},
		{Argv: []string{plain}}, // not executable
		{Argv: []string{"/bin/sh"}, Dir: "/nonexistent"},
		{Argv: []string{"/bin/sh"}, Stdin: make([]byte, MaxWrite+1)},
		{Argv: []string{"/bin/sh"}, OutputLimit: MaxOutput + 1},
	} {
		if _, err := perform[Exec](t, t.Context(), OpExec, args); err == nil || errors.As(err, &errno) {
			t.Errorf("%.60v: %v; want an error that is not the kernel's", args, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := perform[Exec](t, ctx, OpExec, shell("sleep 600")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("operation's own end: %v", err)
	}
}

// However output is cut into writes, its beginning and end are kept.
func TestCapture(t *testing.T) {
	data := noise(1000)
	for _, size := range []int{1, 7, 10, 16, 100, 1000} {
		c := newCapture(20)
		for rest := data; len(rest) > 0; {
			n, _ := c.Write(rest[:min(size, len(rest))])
			rest = rest[n:]
		}
		want := Output{Head: data[:10], Tail: data[990:], Dropped: 980}
		if diff := cmp.Diff(want, c.output()); diff != "" {
			t.Errorf("writes of %d: %s", size, diff)
		}
	}
}
