package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/headwatch/headwatch/runners/build/linux"
)

// demoSeed draws a history whose culprit lies in its middle.
const demoSeed = "1"

// TestDemo kills a demo with SIGKILL, starts it again and wants the culprit. The
// long form compares the outcome with an undisturbed demo's.
func TestDemo(t *testing.T) {
	if ok, _ := condition("guest"); !ok {
		t.Skip("no QEMU or no guest kernel: run make setup")
	}
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	killDemo(t, state, 2)
	doc := finishDemo(t, state)
	if doc.Commits != 40 || doc.Builds == 0 || doc.Runs < doc.Builds || doc.Dashboard == "" {
		t.Errorf("document: %+v", doc)
	}
	if doc.Results["broken"] != 0 || doc.Results["failed"] == 0 || doc.Results["passed"] == 0 {
		t.Errorf("results: %v", doc.Results)
	}
	if len(doc.Regressions) != 1 {
		t.Fatalf("regressions: %+v", doc.Regressions)
	}
	if r := doc.Regressions[0]; r.Culprit == "" || r.Culprit != r.ExpectedCulprit || r.Confidence < .99 || r.Run == "" {
		t.Errorf("regression: %+v", r)
	}
	wantReport(t, state, doc.Regressions[0])
	again := finishDemo(t, state) // a complete one shows its results again
	wantSameDemo(t, again, doc)
	if os.Getenv("HEADWATCH_LONG") != "" {
		wantSameDemo(t, doc, finishDemo(t, filepath.Join(t.TempDir(), "undisturbed")))
	}
}

// wantReport reads the report of the demo's regression in both formats.
func wantReport(t *testing.T, state string, g demoRegression) {
	t.Helper()
	for _, format := range []string{"text", "markdown"} {
		var out, stderr bytes.Buffer
		if code := run([]string{"report", "1", "--format", format, "--state", state}, &out, &stderr); code != exitGood {
			t.Errorf("report: exit %d, %s", code, stderr.String())
		}
		for _, want := range []string{g.Case, "commit " + g.Culprit, "headwatch reproduce " + g.Run, "guest/", "qemu-system", "failed in 0 of 5 boots"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the %s report lacks %q:\n%s", format, want, out.String())
			}
		}
	}
	var out, stderr bytes.Buffer
	if code := run([]string{"report", "2", "--state", state}, &out, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "none of that number") {
		t.Errorf("a report of nothing: exit %d, %s", code, stderr.String())
	}
}

func wantSameDemo(t *testing.T, got, want demoDocument) {
	t.Helper()
	// Which attempt of a run failed depends on the kill.
	evidence := cmpopts.IgnoreFields(demoRegression{}, "Run")
	volatile := cmpopts.IgnoreFields(demoDocument{}, "Dashboard", "State", "DurationS", "FirstVerdictS", "CPUS", "ChildrenCPUS", "MaxRSSBytes")
	if d := cmp.Diff(want, got, volatile, evidence); d != "" {
		t.Errorf("not the same demo (-want +got):\n%s", d)
	}
}

func demoCommandLine(t *testing.T, state string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "headwatch", "demo", "--once", "--json", "--seed", demoSeed, "--listen", "127.0.0.1:0", "--state", state)
	cmd.Env = append(os.Environ(), "HEADWATCH_KERNELS="+linux.DefaultKernels())
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// finishDemo runs a demo to its end and gives its document, which has the keys
// that other tools read.
func finishDemo(t *testing.T, state string) demoDocument {
	t.Helper()
	cmd := demoCommandLine(t, state)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("demo: %v\n%s%s", err, out, stderr.Bytes())
	}
	var keys map[string]json.RawMessage
	var doc demoDocument
	if err := json.Unmarshal(out, &keys); err != nil {
		t.Fatalf("document: %v\n%s", err, out)
	}
	for _, key := range []string{"commits", "builds", "runs", "results", "regressions", "dashboard"} {
		if keys[key] == nil {
			t.Errorf("the document has no %q:\n%s", key, out)
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"passed", "failed", "broken", "skipped", "expected_failure"} {
		if _, ok := doc.Results[word]; !ok {
			t.Errorf("results have no %q: %v", word, doc.Results)
		}
	}
	return doc
}

// killDemo starts a demo, kills it when so many runs have ended, and waits until
// its guests are gone.
func killDemo(t *testing.T, state string, runs int) {
	t.Helper()
	cmd := demoCommandLine(t, state)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); runs > 0 && lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if f := strings.Fields(lines.Text()); len(f) > 3 && f[1] == "run" && f[3] == "on" {
			runs--
		}
	}
	killWithGuests(t, cmd)
	if runs > 0 {
		t.Fatalf("the demo ended early:\n%s", said.String())
	}
}

// killWithGuests kills a command and waits until its guests, which name no folder
// of ours, have ended too.
func killWithGuests(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	guests := childrenOf(t, cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	waitFor(t, fmt.Sprintf("end of %v", guests), func() bool {
		return !slices.ContainsFunc(guests, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	})
}

// childrenOf lists the processes whose parent a process is.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Log("no /proc here: left-over processes are not looked for")
	}
	var out []int
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it ended meanwhile
		}
		// proc(5): PID (NAME) STATE PPID ..., and the name may hold anything.
		var state string
		var parent int
		fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent)
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && parent == pid {
			out = append(out, child)
		}
	}
	return out
}
