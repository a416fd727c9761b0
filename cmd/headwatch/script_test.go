package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/linux"
	"github.com/headwatch/headwatch/web/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"headwatch": main})
}

// TestScripts runs testdata/script: commands as people type them, on real git,
// SQLite, NATS and QEMU.
func TestScripts(t *testing.T) {
	kernels := linux.DefaultKernels()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Values[heldKey{}] = new(atomic.Pointer[stateLock])
			// The kernels that set-up unpacked are found as the user would find them.
			e.Setenv("HEADWATCH_KERNELS", kernels)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, tool := range []string{"git", "headwatch"} {
				if path, err := exec.LookPath(tool); err == nil {
					e.Setenv(strings.ToUpper(tool), path)
				}
			}
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "Ada Example")
				e.Setenv("GIT_"+who+"_EMAIL", "ada@example.org")
			}
			return nil
		},
		Condition: condition,
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "takeport": takePort, "ready": ready, "envsubst": envSubst, "failedrun": failedRun, "anyrun": anyRun, "deliver": deliver, "logged": logged, "hold": hold, "letgo": letGo},
	})
}

// condition tells what this machine has: [guest] when a Linux guest can boot,
// [tmpfs] when a small file system can be mounted in a namespace of our own,
// [long] when long tests are wanted.
func condition(name string) (bool, error) {
	switch name {
	case "guest":
		_, qemu := exec.LookPath("qemu-system-x86_64")
		_, kernel := os.Stat(filepath.Join(linux.DefaultKernels(), "cloud", "VERSION"))
		_, agent := build.Agent("linux", "amd64")
		return qemu == nil && kernel == nil && agent == nil, nil
	case "tmpfs":
		return exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", os.TempDir()).Run() == nil, nil
	case "long":
		return os.Getenv("HEADWATCH_LONG") != "", nil
	}
	return false, errors.New("unknown condition")
}

// exits CODE COMMAND ARG... runs a command and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}

// flip FILE-PATTERN flips one bit in the middle of the largest file that matches.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip PATTERN")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	largest, size := "", int64(-1)
	for _, n := range names {
		if st, err := os.Stat(n); err == nil && st.Mode().IsRegular() && st.Size() > size {
			largest, size = n, st.Size()
		}
	}
	if largest == "" {
		ts.Fatalf("no file matches %s", args[0])
	}
	data, err := os.ReadFile(largest)
	ts.Check(err)
	data[size/2] ^= 1
	ts.Check(os.Chmod(largest, 0o644))
	ts.Check(os.WriteFile(largest, data, 0o644))
}

// takeport VAR listens on a port until the script ends and sets VAR to its
// address.
func takePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: takeport VAR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// ready STATE waits until the owner of a state directory answers at its address.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready STATE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		if who, ok := findOwner(ts.MkAbs(args[0])); ok && who.URL != "" {
			c, err := api.NewClient(who.URL, nil)
			ts.Check(err)
			if _, err := c.Health(ctx); err == nil {
				return
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			ts.Fatalf("nobody serves %s", args[0])
		}
	}
}

// hold STATE COMMAND owns a state directory as a headwatch command does that serves
// nothing, until letgo or the end of the script.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold STATE COMMAND")
	}
	l, err := own(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	ts.Value(heldKey{}).(*atomic.Pointer[stateLock]).Store(l)
	ts.Defer(func() { letGo(ts, false, nil) })
}

// heldKey is the key of the state directory that a script holds, if any.
type heldKey struct{}

func letGo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: letgo")
	}
	if l := ts.Value(heldKey{}).(*atomic.Pointer[stateLock]).Swap(nil); l != nil {
		l.release()
	}
}

// failedrun VAR STATE asks the owner of a state directory for the run that is
// evidence of its newest regression, and sets VAR to its id.
func failedRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: failedrun VAR STATE")
	}
	who, ok := findOwner(ts.MkAbs(args[1]))
	if !ok {
		ts.Fatalf("nobody serves %s", args[1])
	}
	c, err := api.NewClient(who.URL, nil)
	ts.Check(err)
	regs, err := c.Regressions(context.Background())
	ts.Check(err)
	if len(regs) == 0 || regs[0].Run == "" {
		ts.Fatalf("no regression with a run: %+v", regs)
	}
	ts.Setenv(args[0], regs[0].Run)
}

// anyrun VAR STATE asks the owner of a state directory for a run of its newest
// commit that has one, and sets VAR to its id.
func anyRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: anyrun VAR STATE")
	}
	who, ok := findOwner(ts.MkAbs(args[1]))
	if !ok {
		ts.Fatalf("nobody serves %s", args[1])
	}
	c, err := api.NewClient(who.URL, nil)
	ts.Check(err)
	doc, err := c.Overview(context.Background())
	ts.Check(err)
	for _, u := range doc.Upstreams {
		for _, row := range u.Commits {
			for _, cell := range row.Cells {
				if cell.Run != "" {
					ts.Setenv(args[0], cell.Run)
					return
				}
			}
		}
	}
	ts.Fatalf("no run in %+v", doc)
}

// envsubst FILE replaces $WORK in a file: pipelines name upstreams by absolute path.
func envSubst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: envsubst FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$WORK", ts.Getenv("WORK"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// deliver CODE STATE REPOSITORY SECRET [BYTES] delivers a push to main as GitHub
// does, signed with the secret (not at all when that is empty) and padded to a
// size, and wants that status code.
func deliver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: deliver CODE STATE REPOSITORY SECRET [BYTES]")
	}
	who, ok := findOwner(ts.MkAbs(args[1]))
	if !ok {
		ts.Fatalf("nobody serves %s", args[1])
	}
	pad := 0
	if len(args) > 4 {
		var err error
		pad, err = strconv.Atoi(args[4])
		ts.Check(err)
	}
	body := fmt.Sprintf(`{"ref": "refs/heads/main", "after": "%040d", "repository": {"full_name": %q, "name": "x", "owner": {"login": "x"}}, "pad": %q}`,
		1, args[2], strings.Repeat("x", pad))
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(who.URL, "/")+"/webhook", strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", "push")
	if args[3] != "" {
		mac := hmac.New(sha256.New, []byte(args[3]))
		mac.Write([]byte(body))
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	resp.Body.Close()
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("answered %s, want %s", resp.Status, args[0])
	}
}

// logged FILE TEXT waits until a file has the text.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: logged FILE TEXT")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !strings.Contains(ts.ReadFile(args[0]), args[1]) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			ts.Fatalf("%s never said %q:\n%s", args[0], args[1], ts.ReadFile(args[0]))
		}
	}
}
