package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// do runs cases on a rig with seed 7 and gives their results by name.
func do(t *testing.T, f *fakeRig, cases ...suites.Case) map[string]suites.Result {
	t.Helper()
	e, got := f.execution(t, cases...)
	e.Seed = 7
	if _, err := e.Do(t.Context(), pipeline.Machine{SMP: 2}, time.Minute, &Run{}); err != nil {
		t.Fatal(err)
	}
	by := map[string]suites.Result{}
	for _, r := range *got {
		by[r.Case] = r
	}
	return by
}

func TestPressureIsForTheTimeOfTheCase(t *testing.T) {
	f := &fakeRig{os: "linux"}
	during := func(want int) func(context.Context, *suites.T) error {
		return func(context.Context, *suites.T) error {
			if got := len(f.pressed) - f.lifted; got != want {
				return fmt.Errorf("%d pressures, want %d", got, want)
			}
			return nil
		}
	}
	cases := []suites.Case{
		{Name: "plain", Run: during(0)},
		{Name: "race", Pressure: true, Run: during(1)},
		{Name: "panics", Pressure: true, Run: func(context.Context, *suites.T) error { panic("bug") }},
		{Name: "after", Run: during(0)},
	}
	first := do(t, f, cases...)
	for name, want := range map[string]suites.Status{"s/plain": suites.Passed, "s/race": suites.Passed, "s/panics": suites.Broken, "s/after": suites.Passed} {
		if r := first[name]; r.Status != want {
			t.Errorf("%s: %v %s, want %v", name, r.Status, r.Reason, want)
		}
	}
	if len(f.pressed) != 2 || f.lifted != 2 || f.pressed[0] == f.pressed[1] {
		t.Fatalf("pressures %v, %d lifted: want two with seeds of their own", f.pressed, f.lifted)
	}
	if want := fmt.Sprintf("pressure: seed %d\n", f.pressed[0]); first["s/race"].Output != want || first["s/plain"].Output != "" {
		t.Errorf("outputs %q and %q, want %q and none", first["s/race"].Output, first["s/plain"].Output, want)
	}
	again := &fakeRig{os: "linux"}
	do(t, again, suites.Case{Name: "race", Pressure: true, Run: func(context.Context, *suites.T) error { return nil }})
	if len(again.pressed) != 1 || again.pressed[0] != f.pressed[0] {
		t.Errorf("done again with %v, first with %d", again.pressed, f.pressed[0])
	}
}

// A case that gets no pressure runs without, and says so.
func TestNoPressureIsToldAndNoFault(t *testing.T) {
	race := suites.Case{Name: "race", Pressure: true, Run: func(context.Context, *suites.T) error { return nil }}
	for want, f := range map[string]*fakeRig{
		"pressure: none: not permitted\n":    {os: "linux", pressErr: errors.New("not permitted")},
		"pressure: not all of it: no thread": {os: "linux", liftErr: errors.New("no thread")},
	} {
		if r := do(t, f, race)["s/race"]; r.Status != suites.Passed || !strings.Contains(r.Output, want) {
			t.Errorf("%v %s, output %q: want passed and %q", r.Status, r.Reason, r.Output, want)
		}
	}
	var res suites.Result
	Execution{}.press(t.Context(), struct{ runners.Machine }{}, race, &res)()
	if !strings.Contains(res.Output, "knows no pressure") {
		t.Errorf("output %q", res.Output)
	}
}

func TestJudgeTime(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		timed bool
		was   suites.Status
		load  suites.Load
		want  suites.Status
	}{
		"quiet host":          {true, suites.Failed, suites.Load{Of: 10 * s}, suites.Failed},
		"busy host":           {true, suites.Failed, suites.Load{Starved: 3 * s, Of: 10 * s}, suites.Failed},
		"overloaded host":     {true, suites.Failed, suites.Load{Starved: 4 * s, Of: 10 * s}, suites.Broken},
		"it passed even so":   {true, suites.Passed, suites.Load{Starved: 9 * s, Of: 10 * s}, suites.Passed},
		"it skipped":          {true, suites.Skipped, suites.Load{Starved: 9 * s, Of: 10 * s}, suites.Skipped},
		"time does not count": {false, suites.Failed, suites.Load{Starved: 9 * s, Of: 10 * s}, suites.Failed},
		"no time at all":      {true, suites.Failed, suites.Load{}, suites.Failed},
	} {
		got := judgeTime(suites.Case{Timed: c.timed}, suites.Result{Status: c.was, Reason: "late"}, func() suites.Load { return c.load })
		if got.Status != c.want || !strings.HasSuffix(got.Reason, "late") {
			t.Errorf("%s: %v %q, want %v", name, got.Status, got.Reason, c.want)
		}
		if got.Status != c.was && !strings.HasPrefix(got.Reason, "the host kept the guest from its CPUs for 4.0 of 10.0 s") {
			t.Errorf("%s: reason %q", name, got.Reason)
		}
	}
}

// What a case that judges time says of an overloaded host is no finding, of parts
// too; a crash is one in any case.
func TestTimedCaseOnAnOverloadedHost(t *testing.T) {
	f := &fakeRig{os: "linux", starved: time.Hour} // before: of no interest
	late := func(crash bool) func(context.Context, *suites.T) error {
		return func(_ context.Context, c *suites.T) error {
			if l := c.Load(); l.Starved != 0 {
				return fmt.Errorf("starved for %v before it began", l.Starved)
			}
			f.starved += time.Hour
			if crash {
				f.crashes = append(f.crashes, "panic")
			}
			if err := c.Report(suites.Result{Case: "s/part", Status: suites.Failed, Reason: "late"}); err != nil {
				return err
			}
			return suites.Failf("late")
		}
	}
	got := do(t, f, suites.Case{Name: "timed", Timed: true, Run: late(false)})
	for _, name := range []string{"s/timed", "s/part"} {
		if r := got[name]; r.Status != suites.Broken || !strings.Contains(r.Reason, "kept the guest from its CPUs for 3600.0 of ") {
			t.Errorf("%s: %v %s", name, r.Status, r.Reason)
		}
	}
	if r := do(t, f, suites.Case{Name: "timed", Timed: true, Run: late(true)})["s/timed"]; r.Status != suites.Failed || r.Reason != "panic" {
		t.Errorf("with a crash: %v %s", r.Status, r.Reason)
	}
	if r := do(t, f, suites.Case{Name: "plain", Run: late(false)})["s/plain"]; r.Status != suites.Failed || r.Reason != "late" {
		t.Errorf("one that does not judge time: %v %s", r.Status, r.Reason)
	}
}
