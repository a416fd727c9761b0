// Package superpage is the suite that looks at large pages: that memory gets them, that
// it holds what was written while they are made and taken apart, that nothing which was
// taken away can still be used on any CPU, and that nothing of them is left behind.
//
// What runs inside the guest is in package guest below this one; it reports what it saw.
// Package model says what memory must hold. The judging is here, in functions without
// effects.
package superpage

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/superpage/guest"
	"github.com/headwatch/headwatch/suites/superpage/model"
)

// Options of the suite. Zero fields leave what a case has.
type Options struct {
	Rounds  int           // of each way in S02
	Length  time.Duration // of the random operations of S03 and S06
	Cycles  int           // of S07
	Fault   string        // that the guest's agent seeds, one of package guest's
	Shrinks int           // scripts that shrinking may try
}

// Suite is the superpage suite.
func Suite() suites.Suite { return New(Options{}) }

// New is the suite with other rounds, or with a fault.
func New(o Options) suites.Suite {
	o.Rounds, o.Cycles, o.Shrinks = cmp.Or(o.Rounds, 30), cmp.Or(o.Cycles, 2000), cmp.Or(o.Shrinks, 200)
	o.Length = cmp.Or(o.Length, 20*time.Second)
	return suites.Suite{
		Name: "superpage", Summary: "large pages: promotion, demotion, and what must not survive them",
		Cases: []suites.Case{
			{Name: "s01_anon", Layer: suites.Smoke, Timeout: time.Minute, Run: o.populated(guest.Anon),
				Summary: "private memory of 64 MiB gets large pages, loses one where a permission differs, and holds what was written"},
			{Name: "s01_shared", Layer: suites.Smoke, Timeout: time.Minute, Run: o.populated(guest.Shared),
				Summary: "a filled object of shared memory is mapped by large pages"},
			{Name: "s02_stale", Layer: suites.Functional, Timeout: 5 * time.Minute, Run: o.stale,
				Summary: "what is taken away of a large page cannot be used on any CPU when the call has returned"},
			{Name: "s03_random", Layer: suites.Functional, Timeout: 5 * time.Minute, Run: o.random(false),
				Summary: "random operations inside large pages leave the contents and permissions that a model says"},
			{Name: "s06_fork", Layer: suites.Functional, Timeout: 5 * time.Minute, Run: o.random(true),
				Summary: "the same with children of fork: neither sees what the other one writes"},
			{Name: "s07_cycles", Layer: suites.Functional, Timeout: 5 * time.Minute, Run: o.cycles,
				Summary: "making and taking away large pages leaves nothing behind"},
		},
	}
}

// prepare has the guest make large pages wherever it can.
func prepare(ctx context.Context, g suites.Guest) error {
	var p guest.Prepared
	if err := g.Call(ctx, guest.OpPrepare, struct{}{}, &p); err != nil {
		return err
	}
	switch {
	case p.Large == 0 || !p.Enabled:
		return suites.Skipf("the guest's kernel has large pages of %d bytes, enabled: %v", p.Large, p.Enabled)
	case p.Page != model.PageSize || p.Large != model.Large*model.PageSize:
		return suites.Skipf("pages of %d bytes and large ones of %d: these cases know 4 KiB and 2 MiB", p.Page, p.Large)
	}
	return nil
}

const populatedMiB = 64

// populated is S01.
func (o Options) populated(kind string) func(context.Context, *suites.T) error {
	return func(ctx context.Context, t *suites.T) error {
		if err := prepare(ctx, t.Guest); err != nil {
			return err
		}
		var saw guest.Populated
		args := guest.PopulateArgs{Kind: kind, MiB: populatedMiB, Seed: uint64(t.Rand.Uint32()), Fault: o.Fault}
		if err := t.Guest.Call(ctx, guest.OpPopulate, args, &saw); err != nil {
			return err
		}
		t.Metrics["large_ratio"] = float64(saw.LargePages) / float64(max(1, saw.Of))
		t.Metrics["whole_again_ratio"] = float64(saw.Whole) / float64(max(1, saw.Of))
		if saw.FillS > 0 {
			t.Metrics["fault_in_pages_per_s"] = float64(saw.Of) / saw.FillS
		}
		return judgePopulated(t.Guest.OS(), args, saw)
	}
}

const probes = 40 // of each thread after each call

// stale is S02.
func (o Options) stale(ctx context.Context, t *suites.T) error {
	if err := prepare(ctx, t.Guest); err != nil {
		return err
	}
	for _, way := range guest.Ways {
		if way == guest.WayDontNeed && t.Guest.OS() != "linux" {
			continue // a hint elsewhere, which takes nothing away
		}
		var saw guest.Stale
		args := guest.StaleArgs{Ways: []string{way}, Rounds: o.Rounds, Probes: probes, Seed: uint64(t.Rand.Uint32()), Fault: o.Fault}
		if err := t.Guest.Call(ctx, guest.OpStale, args, &saw); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		for _, w := range saw.Ways {
			t.Metrics["probes"] += float64(w.Probes)
			t.Metrics[way+"_s"] = w.TookS
		}
		if err := judgeStale(args, saw); err != nil {
			return err
		}
	}
	return nil
}

// random is S03, and with forks S06.
func (o Options) random(forks bool) func(context.Context, *suites.T) error {
	return func(ctx context.Context, t *suites.T) error {
		if err := prepare(ctx, t.Guest); err != nil {
			return err
		}
		var saw guest.Random
		args := guest.RandomArgs{
			Seed: uint64(t.Rand.Uint32()), LimitS: o.Length.Seconds(), Ops: 80, Workers: 2, Threads: max(2, min(t.Guest.CPUs(), model.MaxThreads)),
			Forks: forks, Fault: o.Fault,
		}
		if err := t.Guest.Call(ctx, guest.OpRandom, args, &saw); err != nil {
			return err
		}
		t.Metrics["scripts"], t.Metrics["ops"] = float64(saw.Scripts), float64(saw.Ops)
		t.Metrics["large_ratio"] = saw.Large
		if saw.ElapsedS > 0 {
			t.Metrics["busy_ratio"] = saw.BusyS / saw.ElapsedS
		}
		if saw.Mismatch == nil {
			return judgeRandom(saw)
		}
		return o.explain(ctx, t, *saw.Mismatch)
	}
}

// explain shrinks a script, keeps it as programs, and says what is wrong.
func (o Options) explain(ctx context.Context, t *suites.T, m guest.Mismatch) error {
	script, err := model.Parse(m.Script)
	if err != nil {
		return fmt.Errorf("script of the guest: %w", err)
	}
	what := m.What
	again := func(s model.Script) (bool, error) {
		var saw guest.Random
		if err := t.Guest.Call(ctx, guest.OpScript, guest.ScriptArgs{Script: s.String(), Times: 3, Fault: o.Fault}, &saw); err != nil {
			return false, err
		}
		if saw.Mismatch != nil {
			what = saw.Mismatch.What
		}
		return saw.Mismatch != nil, nil
	}
	// An error ends the shrinking and takes nothing back: the mismatch was seen.
	short, err := model.Shrink(script, o.Shrinks, again)
	note := ""
	if err != nil {
		note = fmt.Sprintf("; shrinking ended early: %v", err)
	}
	for name, write := range map[string]func(io.Writer) error{
		"script.c":  func(w io.Writer) error { return model.WriteC(w, t.Guest.OS(), short, what) },
		"script.go": func(w io.Writer) error { return model.WriteGo(w, short, what) },
	} {
		if err := t.Save(name, "text/plain", write); err != nil {
			note += fmt.Sprintf("; %s is not kept: %v", name, err)
		}
	}
	return suites.Failf("%s, in %d operations: %.600s%s", what, len(short), short, note)
}

// cycles is S07.
func (o Options) cycles(ctx context.Context, t *suites.T) error {
	if err := prepare(ctx, t.Guest); err != nil {
		return err
	}
	var saw guest.Cycles
	args := guest.CyclesArgs{Count: o.Cycles, Samples: 9, Fault: o.Fault}
	if err := t.Guest.Call(ctx, guest.OpCycles, args, &saw); err != nil {
		return err
	}
	t.Metrics["large_ratio"] = saw.Large
	if saw.TookS > 0 {
		t.Metrics["cycles_per_s"] = float64(o.Cycles) / saw.TookS
	}
	return judgeCycles(args, saw)
}
