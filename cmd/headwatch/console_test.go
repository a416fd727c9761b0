package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console"
	"github.com/headwatch/headwatch/suites/console/guest"
)

// The console suite's cases pass on a real Linux kernel, each in a clone of one boot, and
// each fault that the agent plants is found by the case that should.
func TestConsoleSuiteOnLinux(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a guest and makes storms in it for a minute")
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
	want := consoleTrials()
	suite := suites.Suite{Name: "console"}
	for _, w := range want {
		suite.Cases = append(suite.Cases, w.run)
	}
	b.suites = []suites.Suite{suite}
	machine := &pipeline.Machine{
		Name: "m", SMP: 2, Memory: 256, Accel: "auto", Lines: []string{"uart", "virtio"},
		NICs: []pipeline.NIC{{Model: "virtio-net", Link: "wire"}},
	}
	j := orchestrator.Job{Target: raceTarget, Image: img.ID, Machine: "m", Def: machine, Suite: "console", Layer: suites.Stress, Seed: 5}
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
		starved := r.Status == suites.Broken.String() && strings.Contains(r.Reason, "the host")
		if w := want[i]; !starved && (r.Status != w.status.String() || !strings.Contains(r.Reason, w.says)) {
			t.Errorf("%s: %s %q, want %v with %q", r.Case, r.Status, r.Reason, w.status, w.says)
		}
	}
}

// consoleTrial is a case, and what must come of it.
type consoleTrial struct {
	run    suites.Case
	status suites.Status
	says   string
}

// consoleTrials are cases without a fault, and with one.
func consoleTrials() (all []consoleTrial) {
	add := func(name string, rounds int, f *guest.Fault, status suites.Status, says string) {
		o := console.Options{Lines: 2000, Rounds: rounds, Length: time.Second}
		if f != nil {
			o.Grace = 3 * time.Second
		}
		suite := console.New(o)
		c := suite.Cases[slices.IndexFunc(suite.Cases, func(c suites.Case) bool { return c.Name == name })]
		run := c.Run
		c.Layer, c.Pressure = suites.Stress, c.Pressure && f == nil
		if f != nil {
			c.Name = f.Name + "_in_" + name
		}
		c.Run = func(ctx context.Context, t *suites.T) error {
			with := *t
			with.Guest = flawed{t.Guest, t.Guest.(suites.Serial), f}
			return run(ctx, &with)
		}
		all = append(all, consoleTrial{c, status, says})
	}
	for _, name := range []string{"c01_lines", "c02_storm", "c03_ptys", "c04_switch", "c05_sessions", "c07_far_ends"} {
		add(name, 1, nil, suites.Passed, "")
	}
	for _, f := range []struct {
		fault, in, says string
		every, rounds   int
	}{
		{guest.LoseLine, "c01_lines", "was lost: line", 500, 1},
		{guest.TearLine, "c01_lines", "came damaged", 500, 1},
		{guest.TearKernel, "c01_lines", "a line of the kernel is torn", 50, 1},
		{guest.NeverWoken, "c02_storm", "still in", 300, 1},
		{guest.NeverWoken, "c05_sessions", "still in", 20, 1},
		{guest.LeakFD, "c03_ptys", "file descriptors of the agent are open", 200, 1},
		{guest.Panic, "c03_ptys", "sysrq", 20, 5},
	} {
		add(f.in, f.rounds, &guest.Fault{Name: f.fault, Every: f.every}, suites.Failed, f.says)
	}
	return all
}

// flawed is a guest whose storms have a fault.
type flawed struct {
	suites.Guest
	suites.Serial
	fault *guest.Fault
}

func (g flawed) Call(ctx context.Context, op string, args, result any) error {
	if storm, ok := args.(guest.StormArgs); ok {
		storm.Fault = g.fault
		args = storm
	}
	if err := g.Guest.Call(ctx, op, args, result); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}
