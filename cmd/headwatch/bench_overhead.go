package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/suites"
)

const (
	overheadCases = 31 // odd: the median is one of them
	overheadLimit = 30 * time.Millisecond
)

// overheadBench is what `bench overhead` measured: CPU time of this process alone, in
// milliseconds and as medians over the cases; QEMU's is not in it.
type overheadBench struct {
	Target  string  `json:"target"`
	Accel   string  `json:"accel"`
	Cases   int     `json:"cases"`
	CaseMS  float64 `json:"case_ms"` // of a case that does nothing, from its clone to its result on disk
	BestMS  float64 `json:"best_ms"`
	WorstMS float64 `json:"worst_ms"`
	StartMS float64 `json:"start_ms"` // of it, starting the clone
	CloseMS float64 `json:"close_ms"` // ending it
	StoreMS float64 `json:"store_ms"` // storing the result
	OtherMS float64 `json:"other_ms"` // and the rest
	RunMS   float64 `json:"run_ms"`   // once for each run: keeping its console, storing its end
	LimitMS float64 `json:"limit_ms"` // CaseMS is to stay below
}

// spentHere is the CPU time that this process has used, without its children.
func spentHere() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // it cannot fail for this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stages are what a case took, by what was done.
type stages struct{ all, start, end, store time.Duration }

// meter measures one case after another.
type meter struct {
	began time.Duration // CPU time at which the case under way began
	now   stages
	cases []stages
}

func (m *meter) stage(sum *time.Duration, do func()) {
	before := spentHere()
	do()
	*sum += spentHere() - before
}

// next ends a case, and begins the next.
func (m *meter) next(counts bool) {
	at := spentHere()
	m.now.all = at - m.began
	if counts {
		m.cases = append(m.cases, m.now)
	}
	m.began, m.now = at, stages{}
}

// meteredRunner measures what its machines take to start and end.
type meteredRunner struct {
	runners.Runner
	m *meter
}

func (r meteredRunner) Template(ctx context.Context, b runners.Bootable, s runners.Spec) (runners.Template, error) {
	t, err := r.Runner.Template(ctx, b, s)
	if err != nil {
		return nil, err
	}
	if t.Facts().BootID == "" {
		return nil, errors.Join(errors.New("this machine cannot be cloned; its log says why"), t.Close())
	}
	return meteredTemplate{t, r.m}, nil
}

type meteredTemplate struct {
	runners.Template
	m *meter
}

func (t meteredTemplate) Start(ctx context.Context, s runners.Start) (m runners.Machine, err error) {
	t.m.stage(&t.m.now.start, func() { m, err = t.Template.Start(ctx, s) })
	if err != nil {
		return nil, err
	}
	return meteredMachine{m, t.m}, nil
}

type meteredMachine struct {
	runners.Machine
	m *meter
}

func (m meteredMachine) Close() (exit runners.Exit, err error) {
	m.m.stage(&m.m.now.end, func() { exit, err = m.Machine.Close() })
	return exit, err
}

// benchOverhead runs cases that do nothing as a worker does, against a database of
// their own.
func (a *app) benchOverhead(ctx context.Context, o cloneOptions, profile string) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	target := or(o.target, raceTarget)
	if _, ok := file.Targets[target]; !ok {
		return usagef("%s: no target %q; it has %s", file.Path, target, names(file.Targets))
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if err := preflight(ctx); err != nil {
		return rig(err)
	}
	b, err := a.openBench(file, dir, "bench")
	if err != nil {
		return rig(err)
	}
	defer b.close()
	image, err := a.imageAtHand(ctx, b, target, o.image)
	if err != nil {
		return rig(err)
	}
	doc, err := b.measureOverhead(ctx, target, image, a.logger(slog.LevelWarn), profile)
	if err != nil {
		return rig(fmt.Errorf("%s: %w", target, err))
	}
	if a.json {
		return rig(a.document(doc))
	}
	fmt.Fprintf(a.stdout, "%-16s %.1f ms of CPU for a case that does nothing (%.1f to %.1f, of %d; limit %.0f ms), beside QEMU   %s\n",
		doc.Target, doc.CaseMS, doc.BestMS, doc.WorstMS, doc.Cases, doc.LimitMS, doc.Accel)
	fmt.Fprintf(a.stdout, "%-16s start %.1f ms, close %.1f ms, store %.1f ms, other %.1f ms; and %.1f ms once for each run\n",
		"", doc.StartMS, doc.CloseMS, doc.StoreMS, doc.OtherMS, doc.RunMS)
	return nil
}

// measureOverhead does one run of many empty cases. A file that profile names gets
// the CPU profile of them.
func (b *workbench) measureOverhead(ctx context.Context, target, image string, log *slog.Logger, profile string) (doc overheadBench, err error) {
	doc = overheadBench{Target: target, Cases: overheadCases, LimitMS: ms(overheadLimit)}
	db, err := store.Open(ctx, filepath.Join(b.scratch.dir, "overhead.db"))
	if err != nil {
		return doc, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	machine := pipeline.Machine{Name: "bench", SMP: benchSMP, Memory: benchMemory, Accel: "auto", Control: "virtio",
		NICs: []pipeline.NIC{{Model: "virtio-net", Link: "wire"}}}
	j := orchestrator.Job{ID: "overhead", Kind: orchestrator.RunJob, Upstream: "bench", Target: target, Build: "bench", Image: image,
		Machine: machine.Name, Def: &machine, Rig: "bench", Suite: "bench", Layer: suites.Smoke, Seed: 1}
	if err := db.Apply(ctx, orchestrator.Decision{Upstream: j.Upstream, Target: target, Rig: j.Rig, Jobs: []orchestrator.Job{j}}); err != nil {
		return doc, err
	}
	run, err := db.BeginRun(ctx, j, "bench", time.Now())
	if err != nil {
		return doc, err
	}
	console := newConsoles().open(run.ID)
	defer console.Close()
	m := &meter{}
	e := orchestrator.Execution{
		Builder: b.builder, Runner: meteredRunner{qemu.New(qemu.Config{Log: log}), m}, Cases: emptyCases(overheadCases),
		Image: image, Suite: j.Suite, Seed: j.Seed, Dir: filepath.Join(b.scratch.dir, "overhead"), Console: console,
		Record: func(r suites.Result) (err error) {
			if r.Status != suites.Passed {
				return fmt.Errorf("%s: %v: %s", r.Case, r.Status, r.Reason)
			}
			m.stage(&m.now.store, func() { err = db.AddResult(ctx, run.ID, r) })
			m.next(r.Case != orchestrator.CaseBoot)
			return err
		},
	}
	stop, err := profileTo(profile)
	if err != nil {
		return doc, err
	}
	run.Status, err = e.Do(ctx, machine, cloneBenchTime, &run)
	if err := errors.Join(err, stop()); err != nil {
		return doc, err
	}
	before := spentHere()
	run.Console, run.State, run.Finished = "overhead.zst", orchestrator.RunFinished, time.Now()
	if err := console.Save(filepath.Join(b.scratch.dir, run.Console)); err != nil {
		return doc, err
	}
	if err := db.FinishRun(ctx, run, nil); err != nil {
		return doc, err
	}
	doc.RunMS, doc.Accel = ms(spentHere()-before), run.Accel
	doc.sum(m.cases)
	return doc, nil
}

// cloneBenchTime bounds the whole measurement.
const cloneBenchTime = 10 * time.Minute

func emptyCases(n int) (out []suites.Case) {
	for i := range n {
		out = append(out, suites.Case{Name: fmt.Sprintf("nothing_%d", i), Layer: suites.Smoke,
			Run: func(context.Context, *suites.T) error { return nil }})
	}
	return out
}

// profileTo writes a CPU profile until stop; without a path it does nothing.
func profileTo(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}

func (d *overheadBench) sum(cases []stages) {
	of := func(get func(stages) time.Duration) []float64 {
		var out []float64
		for _, c := range cases {
			out = append(out, ms(get(c)))
		}
		return slices.Sorted(slices.Values(out))
	}
	all := of(func(s stages) time.Duration { return s.all })
	d.CaseMS, d.BestMS, d.WorstMS = median(all), all[0], all[len(all)-1]
	d.StartMS = median(of(func(s stages) time.Duration { return s.start }))
	d.CloseMS = median(of(func(s stages) time.Duration { return s.end }))
	d.StoreMS = median(of(func(s stages) time.Duration { return s.store }))
	d.OtherMS = median(of(func(s stages) time.Duration { return s.all - s.start - s.end - s.store }))
}

// ms are milliseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
