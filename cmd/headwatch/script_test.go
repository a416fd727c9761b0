package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headwatch/headwatch/runners/build"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"headwatch": main})
}

// TestScripts runs testdata/script: commands as people type them, on real git,
// SQLite, NATS and QEMU.
func TestScripts(t *testing.T) {
	kernels := build.DefaultKernels()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			// The kernels that set-up unpacked are found as the user would find them.
			e.Setenv("HEADWATCH_KERNELS", kernels)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "Ada Example")
				e.Setenv("GIT_"+who+"_EMAIL", "ada@example.org")
			}
			return nil
		},
		Condition: condition,
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "takeport": takePort},
	})
}

// condition tells what this machine has: [guest] when a Linux guest can boot,
// [long] when long tests are wanted.
func condition(name string) (bool, error) {
	switch name {
	case "guest":
		_, qemu := exec.LookPath("qemu-system-x86_64")
		_, kernel := os.Stat(filepath.Join(build.DefaultKernels(), "cloud", "VERSION"))
		_, agent := build.Agent("linux", "amd64")
		return qemu == nil && kernel == nil && agent == nil, nil
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
