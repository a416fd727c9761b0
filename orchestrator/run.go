package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// run is the stage image → results: boot, run each case, store each result as it
// comes, store the end. It returns an error only when nothing could be stored.
func (w *Worker) run(ctx context.Context, j Job) error {
	r, err := w.Store.BeginRun(ctx, j, w.Host, w.now())
	if err != nil {
		return err
	}
	w.Notify(Event{Kind: EventStarted, Job: j.ID, Run: r.ID, Commit: j.Commit})
	console := w.Console(r.ID)
	defer console.Close()
	record := func(res suites.Result) error {
		if err := w.Store.AddResult(ctx, r.ID, res); err != nil {
			return err
		}
		w.Notify(Event{Kind: EventResult, Job: j.ID, Run: r.ID, Commit: j.Commit, Case: res.Case, Status: res.Status.String(), Reason: res.Reason})
		return nil
	}
	if j.Def == nil {
		return w.finishRun(ctx, r, console, fmt.Errorf("job %s does not say what machine %q is", j.ID, j.Machine))
	}
	limit := w.Pipeline.Timeout(j.Layer)
	e := Execution{
		Builder: w.Builder, Runner: w.Runner, Cases: CasesOf(w.Suites, j.Suite, j.Layer, ""),
		Image: j.Image, Commit: j.Commit, Suite: j.Suite, Seed: j.Seed, Dir: w.Places.Scratch(r.ID), Console: console, Record: record,
	}
	var rigErr error
	r.Status, rigErr = e.Do(ctx, *j.Def, limit, &r)
	if errors.Is(rigErr, runners.ErrNoImage) {
		if rigErr = w.Restore(ctx, j); rigErr == nil {
			r.Status, rigErr = e.Do(ctx, *j.Def, limit, &r)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // stopped, not judged: another attempt does it again
	}
	return w.finishRun(ctx, r, console, rigErr)
}

// Restore builds an image again that was collected or dropped since its build
// was recorded. Equal inputs make equal images, or the run would be about another.
func (w *Worker) Restore(ctx context.Context, j Job) error {
	target, ok := w.Pipeline.Targets[j.Target]
	if !ok {
		return fmt.Errorf("image %s is gone, and target %q is not in the pipeline any more", j.Image, j.Target)
	}
	again := j
	again.ID = "restore-" + j.ID
	b := w.makeImage(ctx, again, target)
	switch {
	case b.Status != suites.Passed:
		return fmt.Errorf("image %s is gone and cannot be built again: %s", j.Image, b.Reason)
	case b.Image != j.Image:
		return fmt.Errorf("image %s is gone, and the same inputs make %s now", j.Image, b.Image)
	}
	return nil
}

func (w *Worker) finishRun(ctx context.Context, r Run, console ConsoleLog, rigErr error) error {
	if rigErr != nil {
		r.Status, r.Reason = suites.Broken, rigErr.Error()
	}
	name := w.Places.Console(r.ID)
	path := filepath.Join(w.Places.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("keep the console of run %s: %w", r.ID, err)
	}
	if err := console.Save(path); err != nil {
		return fmt.Errorf("keep the console of run %s: %w", r.ID, err)
	}
	r.Console, r.Finished, r.State = name, w.now(), RunFinished
	crashes, err := Symbolizer{w.Builder, w.Symbols}.Crashes(ctx, r.ID, r.Job.Image, w.Places.Scratch(r.ID), console.Crashes())
	if err != nil {
		w.Log.Warn("a report has no lines", "run", r.ID, "err", err)
	}
	if err := w.Store.FinishRun(ctx, r, crashes); err != nil {
		return err
	}
	w.Notify(Event{Kind: EventRun, Job: r.Job.ID, Run: r.ID, Commit: r.Job.Commit, Target: r.Job.Target, Status: r.Status.String(), Reason: r.Reason})
	return nil
}

// CasesOf lists the cases of a suite in a layer; only names one of them, or
// none for all.
func CasesOf(all []suites.Suite, suite string, layer suites.Layer, only string) []suites.Case {
	var out []suites.Case
	for _, s := range all {
		if s.Name != suite {
			continue
		}
		for _, c := range s.Cases {
			if c.Layer == layer && (only == "" || c.Name == only) {
				out = append(out, c)
			}
		}
	}
	return out
}

// Execution is one suite on one machine made from one image. It stores nothing
// by itself: results go to Record as they come.
type Execution struct {
	Builder runners.Builder
	Runner  runners.Runner
	Cases   []suites.Case
	Image   string
	Commit  string // told to the machine; empty: none
	Suite   string
	Seed    uint64
	Dir     string // scratch; made and removed
	Console runners.Console
	Record  func(suites.Result) error
}

// bootShare is the part of a run's time limit that booting may take.
const bootShare = 2

// Do boots the machine and runs the cases in order, the case "boot" first. It
// fills in what the boot told of itself. The status sums up the results; an error
// is the rig's fault.
func (e Execution) Do(ctx context.Context, m pipeline.Machine, limit time.Duration, r *Run) (suites.Status, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	defer os.RemoveAll(e.Dir)
	room := filepath.Join(e.Dir, "machine")
	if err := errors.Join(os.RemoveAll(e.Dir), os.MkdirAll(room, 0o755)); err != nil {
		return suites.Broken, err
	}
	bootable, err := e.Builder.Open(ctx, e.Image, filepath.Join(e.Dir, "image"))
	if err != nil {
		return suites.Broken, err
	}
	began := time.Now()
	machine, err := e.Runner.Boot(ctx, bootable, spec(m, e.Commit, room, e.Console, limit/bootShare))
	var results []suites.Status
	note := func(res suites.Result) error {
		results = append(results, res.Status)
		return e.Record(res)
	}
	boot := suites.Result{Case: CaseBoot, Status: suites.Passed, Duration: time.Since(began)}
	if err != nil {
		return e.noBoot(boot, err, note, &results)
	}
	defer machine.Close()
	f := machine.Facts()
	r.BootID, r.Kernel, r.Accel, r.Monitor, r.BootTime, r.Command = f.BootID, f.Kernel, f.Accel, f.Monitor, f.BootTime, f.Command
	boot.Duration = f.BootTime
	boot.Metrics = map[string]float64{"boot_s": f.BootTime.Seconds()}
	if err := note(boot); err != nil {
		return suites.Broken, err
	}
	lost := ""
	has := offered(m, f)
	for _, c := range e.Cases {
		res := e.one(ctx, machine, c, has, lost, note)
		if lost == "" && gone(machine) {
			lost = fmt.Sprintf("not run: the guest ended in %s", res.Case)
			res = endedIn(machine, res)
		}
		if err := note(res); err != nil {
			return suites.Broken, err
		}
	}
	return suites.Summarize(results), nil
}

// noBoot records a boot that failed. The kernel's fault is a failed "boot", and
// every other case could not be run; the rig's is no evidence about anything.
func (e Execution) noBoot(boot suites.Result, err error, note func(suites.Result) error, results *[]suites.Status) (suites.Status, error) {
	bad, kernels := errors.AsType[*runners.BootError](err)
	if !kernels {
		return suites.Broken, err
	}
	boot.Status, boot.Reason = suites.Failed, bad.Error()
	if err := note(boot); err != nil {
		return suites.Broken, err
	}
	for _, c := range e.Cases {
		if err := note(suites.Result{Case: e.Suite + "/" + c.Name, Status: suites.Skipped, Reason: "the kernel did not boot"}); err != nil {
			return suites.Broken, err
		}
	}
	return suites.Summarize(*results), nil
}

// endedIn says what the end of a guest means for the case in which it happened. A
// guest that ends by itself and unasked is the kernel's fault, unless its agent or
// its host made it end; that, and a monitor that dies, are ours.
func endedIn(m runners.Machine, res suites.Result) suites.Result {
	if exit, err := m.Close(); exit == runners.ExitGuest && err == nil && res.Status == suites.Broken {
		res.Status, res.Reason = suites.Failed, "the guest reset or shut down by itself"
	}
	return res
}

func gone(m runners.Machine) bool {
	select {
	case <-m.Done():
		return true
	default:
		return false
	}
}
