package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

func TestFailureLimit(t *testing.T) {
	for _, n := range []int{1, 10, 100, 5000} {
		if got, want := failureLimit(0, n), 1-math.Pow(.05, 1/float64(n)); math.Abs(got-want) > 1e-9 {
			t.Errorf("0 of %d: %v, want %v", n, got, want)
		}
	}
	if got := failureLimit(0, 1000); math.Abs(got-.003) > 1e-5 {
		t.Errorf("0 of 1000: %v, want about 3/n", got)
	}
	if got := failureLimit(2, 100); math.Abs(got-.0616) > 1e-3 { // Clopper and Pearson, one-sided
		t.Errorf("2 of 100: %v", got)
	}
	if got := failureLimit(0, 0); got < .999 {
		t.Errorf("nothing was run, and the limit is %v", got)
	}
}

// What is added adds up, by case and target, also behind a line that a kill cut off.
func TestExecutionsAddUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.jsonl")
	add := func(target, name, status string) {
		if err := appendExecutions(path, []execution{{Target: target, Case: name, Status: status, Seed: 7}}); err != nil {
			t.Fatal(err)
		}
	}
	add("linux", "tcp/a", "passed")
	add("linux", "tcp/a", "broken")
	add("other", "tcp/a", "failed")
	add("linux", "tcp/b", "failed")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"target":"linux","case":"tcp/a","sta` + "\n")
	f.Close()
	add("linux", "tcp/a", "passed")
	all, err := readExecutions(path, "linux")
	if err != nil {
		t.Fatal(err)
	}
	rows := sumExecutions(all)
	if len(rows) != 2 || rows[0].Passed != 2 || rows[0].Broken != 1 || rows[0].Failed != 0 || rows[1].Failed != 1 {
		t.Errorf("%+v", rows)
	}
	if none, err := readExecutions(filepath.Join(t.TempDir(), "x"), "linux"); err != nil || none != nil {
		t.Error(none, err)
	}
}

// What has passed least is next, two workers do not take the same case while another one
// waits, and what passed often enough or cannot be run is not executed again.
func TestCasesDue(t *testing.T) {
	before := []execution{{Case: "tcp/a", Status: "passed"}, {Case: "tcp/a", Status: "passed"}, {Case: "tcp/b", Status: "failed"}, {Case: "tcp/d", Status: "skipped"}}
	d := casesDue([]suites.Case{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}, orchestrator.Job{Suite: "tcp"}, before, 3)
	var got []string
	for range 20 {
		name, ok := d.next()
		if !ok {
			break
		}
		got = append(got, name)
		d.count("tcp/"+name, map[bool]string{true: "passed", false: "broken"}[len(got) != 2])
	}
	if diff := cmp.Diff([]string{"c", "b", "c", "a", "b", "c", "b", "b"}, got); diff != "" {
		t.Error(diff)
	}
	one := due{cases: []string{"a"}}
	for range 3 {
		if name, ok := one.next(); name != "a" || !ok {
			t.Error(name, ok)
		}
	}
}
