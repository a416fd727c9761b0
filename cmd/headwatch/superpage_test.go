package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/superpage"
	"github.com/headwatch/headwatch/suites/superpage/guest"
)

// The superpage suite's cases pass on a real Linux kernel, each in a clone of one boot,
// and each fault that the agent seeds is found by the case that should.
func TestSuperpageSuiteOnLinux(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a guest and takes its large pages apart for half a minute")
	}
	if ok, err := condition("guest"); !ok {
		t.Skipf("no QEMU or no guest kernel: run make setup (%v)", err)
	}
	var said bytes.Buffer
	a := &app{stdout: &said, stderr: &said, state: t.TempDir()}
	file, err := a.loadPipeline()
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.openBench(file, a.state, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	img, err := a.buildImage(t.Context(), b, raceTarget, sourceOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	want := superpageTrials()
	suite := suites.Suite{Name: "superpage"}
	for _, w := range want {
		suite.Cases = append(suite.Cases, w.run)
	}
	b.suites = []suites.Suite{suite}
	machine := &pipeline.Machine{Name: "m", SMP: 2, Memory: 512, Accel: "auto"}
	j := orchestrator.Job{Target: raceTarget, Image: img.ID, Machine: "m", Def: machine, Suite: "superpage", Layer: suites.Functional, Seed: 5}
	doc, err := b.execute(t.Context(), j, "")
	if err != nil {
		t.Fatal(err)
	}
	results := doc.Results[1:] // the first is the boot
	if len(results) != len(want) {
		t.Fatalf("%d results of %d cases", len(results), len(want))
	}
	for i, r := range results {
		t.Logf("%s: %s in %.1f s: %s %v", r.Case, r.Status, r.DurationS, r.Reason, r.Metrics)
		if w := want[i]; r.Status != w.status.String() || !strings.Contains(r.Reason, w.says) {
			t.Errorf("%s: %s %q, want %v with %q", r.Case, r.Status, r.Reason, w.status, w.says)
		}
	}
}

// superpageTrial is a case, and what must come of it.
type superpageTrial struct {
	run    suites.Case
	status suites.Status
	says   string
}

// superpageTrials are cases without a fault, and with one.
func superpageTrials() (all []superpageTrial) {
	add := func(name, fault string, status suites.Status, says string) {
		suite := superpage.New(superpage.Options{Rounds: 4, Length: 3 * time.Second, Cycles: 400, Shrinks: 40, Fault: fault})
		c := suite.Cases[slices.IndexFunc(suite.Cases, func(c suites.Case) bool { return c.Name == name })]
		c.Layer = suites.Functional
		if fault != "" {
			c.Name = fault + "_in_" + name
		}
		all = append(all, superpageTrial{c, status, says})
	}
	for _, name := range []string{"s01_anon", "s01_shared", "s02_stale", "s03_random", "s06_fork", "s07_cycles"} {
		add(name, "", suites.Passed, "")
	}
	for _, f := range []struct{ fault, in, says string }{
		{guest.FaultNeverLarge, "s01_anon", "large pages map 0 of 16384 pages"},
		{guest.FaultWrongByte, "s01_anon", "do not hold what was written"},
		{guest.FaultStale, "s02_stale", "still had what was taken away"},
		{guest.FaultLate, "s02_stale", "still had what was taken away"},
		{guest.FaultWrongByte, "s03_random", "operations: "},
		{guest.FaultLost, "s03_random", "operations: "},
		{guest.FaultChild, "s06_fork", "operations: "},
		{guest.FaultLeak, "s07_cycles", "is no leak"},
	} {
		add(f.in, f.fault, suites.Failed, f.says)
	}
	return all
}
