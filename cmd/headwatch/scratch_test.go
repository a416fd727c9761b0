package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners/build/linux"
)

func TestScratchOfTheLivingStays(t *testing.T) {
	state := t.TempDir()
	alive, err := claimScratch(state, "run")
	if err != nil {
		t.Fatal(err)
	}
	for _, dead := range []string{"run-locked", "bench-unlocked"} {
		if err := os.MkdirAll(filepath.Join(scratchPath(state), dead, "tree"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(scratchPath(state), "run-locked", "lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := sweepScratch(state, false)
	if err != nil || len(found) != 2 {
		t.Fatalf("dead: %q, %v", found, err)
	}
	next, err := claimScratch(state, "reproduce")
	if err != nil {
		t.Fatal(err)
	}
	if left := foldersIn(t, scratchPath(state)); len(left) != 2 {
		t.Errorf("left: %q, want those of two that live", left)
	}
	for _, s := range []*scratch{alive, next} {
		if err := s.release(); err != nil {
			t.Error(err)
		}
	}
	if left := foldersIn(t, scratchPath(state)); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// TestKilledRunIsCleared kills a run with SIGKILL while its guest is up: no process
// stays, nothing is in the temporary folder, and the next command clears the rest.
func TestKilledRunIsCleared(t *testing.T) {
	if ok, _ := condition("guest"); !ok {
		t.Skip("no QEMU or no guest kernel: run make setup")
	}
	t.Parallel()
	state, tmp := filepath.Join(t.TempDir(), "state"), t.TempDir()
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "headwatch", append(args, "--state", state)...)
		cmd.Env = append(os.Environ(), "HEADWATCH_KERNELS="+linux.DefaultKernels(), "TMPDIR="+tmp)
		cmd.WaitDelay = 10 * time.Second
		return cmd
	}
	run := command("run", "--target", "linux", "--repeat", "100")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	// Its only child is QEMU, which is there when the machine's folder is.
	waitFor(t, "a guest", func() bool {
		machines, _ := filepath.Glob(filepath.Join(scratchPath(state), "run-*", "hand-*", "machine-*"))
		return len(machines) > 0 && len(childrenOf(t, run.Process.Pid)) > 0
	})
	killWithGuests(t, run)
	if left := foldersIn(t, scratchPath(state)); len(left) != 1 {
		t.Errorf("left by the kill: %q, want one folder", left)
	}
	if out, err := command("fsck").CombinedOutput(); err != nil || !strings.Contains(string(out), "work of a process that was killed") {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	if out, err := command("run", "--target", "linux").CombinedOutput(); err != nil {
		t.Errorf("the same run again: %v\n%s", err, out)
	}
	if out, err := command("build", "--target", "linux").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if left := foldersIn(t, scratchPath(state)); len(left) != 0 {
		t.Errorf("left after the next command: %q", left)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("in the temporary folder: %v, %v", left, err)
	}
}

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func foldersIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}
