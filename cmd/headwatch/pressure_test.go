package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
	race "github.com/headwatch/headwatch/suites/race/guest"
)

// A case that asks for it looks for a real race in a Linux guest under pressure, and
// one that does not is left alone.
func TestRaceCaseUnderPressure(t *testing.T) {
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
	shape := race.Races[0]
	find := func(ctx context.Context, c *suites.T) error {
		if _, ok := c.Guest.(runners.Presser); ok {
			return fmt.Errorf("%T: a case needs no pressure of its own", c.Guest)
		}
		var f race.Found
		args := race.FindArgs{Race: shape.Name, Seed: c.Rand.Uint64(), Limit: 3, Pace: shape.Pace}
		if err := c.Guest.Call(ctx, race.OpFind, args, &f); err != nil {
			return err
		}
		c.Metrics["rounds"] = float64(f.Rounds)
		if l := c.Load(); l.Of <= 0 || l.Starved < 0 || l.Starved > l.Of {
			return fmt.Errorf("load %+v", l)
		}
		if f.Found {
			return suites.Failf("race %s: found", shape.Name)
		}
		return nil
	}
	b.suites = []suites.Suite{{Name: "race", Cases: []suites.Case{
		{Name: "pressed", Layer: suites.Smoke, Pressure: true, Run: find}, {Name: "plain", Layer: suites.Smoke, Run: find},
	}}}
	j := orchestrator.Job{Target: raceTarget, Image: img.ID, Machine: "m", Def: &pipeline.Machine{Name: "m", SMP: 2, Memory: 256, Accel: "auto"},
		Suite: "race", Layer: suites.Smoke, Seed: 5}
	doc, err := b.execute(t.Context(), j, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Results) != 3 {
		t.Fatalf("results %+v", doc.Results)
	}
	for _, r := range doc.Results[1:] {
		t.Logf("%s: %s %s %s", r.Case, r.Status, r.Reason, r.Output)
		if r.Status == suites.Broken.String() || r.Metrics["rounds"] == 0 {
			t.Errorf("%s: %s %s", r.Case, r.Status, r.Reason)
		}
		pressed := strings.HasPrefix(r.Output, "pressure: seed ")
		if pressed != (r.Case == "race/pressed") || strings.Contains(r.Output, "not all") {
			t.Errorf("%s: output %q", r.Case, r.Output)
		}
	}
}

// Pressure keeps a guest from its CPUs, so that nothing can be said of time.
func TestNoCaseJudgesTimeUnderPressure(t *testing.T) {
	for _, s := range allSuites() {
		for _, c := range s.Cases {
			if c.Timed && c.Pressure {
				t.Errorf("%s/%s does", s.Name, c.Name)
			}
		}
	}
}
