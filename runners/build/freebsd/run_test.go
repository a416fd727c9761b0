package freebsd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/runners"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a command that runs a shell script with arguments.
func script(t *testing.T, text string, args ...string) command {
	t.Helper()
	name := filepath.Join(t.TempDir(), "make")
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return command{argv: append([]string{"/bin/sh", name}, args...), env: []string{"PATH=" + toolPath, "ONLY=this"}}
}

func TestRunEnds(t *testing.T) {
	t.Setenv("MAKEFLAGS", "-n")
	var log bytes.Buffer
	if err := script(t, "env; echo error >&2; pwd; ps -o sid= -p $$").run(t.Context(), &log, nil); err != nil {
		t.Fatal(err)
	}
	said := log.String()
	if !strings.Contains(said, "ONLY=this\n") || strings.Contains(said, "MAKEFLAGS") || !strings.Contains(said, "error\n/\n") {
		t.Errorf("said %s", said)
	}
	err := script(t, "exit 3").run(t.Context(), &log, nil)
	exit, ok := errors.AsType[*errExit](err)
	if code, is := errors.AsType[*exec.ExitError](err); !ok || !is || code.ExitCode() != 3 {
		t.Errorf("exit 3: %v, %v", err, exit)
	}
	err = command{argv: []string{"/nonexistent/make"}}.run(t.Context(), &log, nil)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok {
		t.Errorf("no such tool: %v", err)
	}
}

// gone says whether a process has ended.
func gone(pid int) bool {
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
		return bytes.Contains(text, []byte(") Z "))
	}
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// TestRunKills has a make like the real one: its jobs are in process groups of
// their own, and one of them does not listen to SIGTERM.
func TestRunKills(t *testing.T) {
	const jobs = `
set -m # jobs in process groups of their own
sh -c 'trap "" TERM; echo $$; while :; do sleep 1000; done' &
sh -c 'echo $$; exec sleep 1000' &
trap 'echo asked to end; exit 1' TERM
wait
wait
`
	for _, name := range []string{"canceled", "leader ends"} {
		t.Run(name, func(t *testing.T) {
			text := jobs
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			why := errors.New("no longer wanted")
			log := &watcher{lines: 2, then: func() { cancel(why) }}
			if name == "leader ends" {
				text = strings.ReplaceAll(jobs, "wait\n", "") + "read x < \"$1\"\nexit 0\n"
			}
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "leader ends" {
				log.then = func() {
					if err := os.WriteFile(fifo, []byte("go\n"), 0o600); err != nil {
						t.Error(err)
					}
				}
			}
			lock, err := tryLock(filepath.Join(t.TempDir(), "f"), true)
			if err != nil {
				t.Fatal(err)
			}
			err = script(t, text, fifo).run(ctx, log, lock)
			if name == "canceled" && !errors.Is(err, why) {
				t.Errorf("canceled: %v", err)
			}
			for _, pid := range log.pids {
				if !gone(pid) {
					t.Errorf("process %d is left: %v", pid, syscall.Kill(pid, syscall.SIGKILL))
				}
			}
			if len(log.pids) != 2 {
				t.Errorf("saw the jobs %d", log.pids)
			}
			// Nobody else holds a copy of the lock.
			dir := filepath.Dir(lock.Name())
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := tryLock(dir, false)
			if err != nil {
				t.Fatalf("lock: %v", err)
			}
			again.Close()
		})
	}
}

// watcher collects the numbers that a script prints, and acts when it has some.
type watcher struct {
	buf   bytes.Buffer
	lines int
	then  func()
	pids  []int
}

func (w *watcher) Write(p []byte) (int, error) {
	w.buf.Write(p)
	for {
		line, err := w.buf.ReadString('\n')
		if err != nil {
			w.buf.WriteString(line)
			return len(p), nil
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			continue
		}
		if w.pids = append(w.pids, pid); len(w.pids) == w.lines {
			w.then()
		}
	}
}

// TestChildrenHoldLock: when this process is killed, make lives on for a moment;
// nobody may use the folder before it has ended.
func TestChildrenHoldLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	lock, err := tryLock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/cat")
	cmd.ExtraFiles = []*os.File{lock}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Start(), lock.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(dir, false); !errors.Is(err, errLocked) {
		t.Errorf("while a child lives: %v", err)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if lock, err = tryLock(dir, false); err != nil {
		t.Fatal(err)
	}
	lock.Close()
}
