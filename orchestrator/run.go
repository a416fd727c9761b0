package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

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
	keeper := NewKeeper(w.Places.Scratch(r.ID+"-artifacts"), false)
	defer keeper.Close()
	record := func(res suites.Result) error {
		if err := w.Store.AddResult(ctx, r.ID, res); err != nil {
			return err
		}
		w.Notify(Event{Kind: EventResult, Job: j.ID, Run: r.ID, Commit: j.Commit, Case: res.Case, Status: res.Status.String(), Reason: res.Reason})
		return nil
	}
	if j.Def == nil {
		return w.finishRun(ctx, r, console, keeper, fmt.Errorf("job %s does not say what machine %q is", j.ID, j.Machine))
	}
	limit := w.Pipeline.Timeout(j.Layer)
	e := Execution{
		Builder: w.Builder, Runner: w.Runner, Cases: j.cases(w.Suites),
		Image: j.Image, Commit: j.Commit, Ordinal: j.ordinal(), Suite: j.Suite, Seed: j.Seed, Dir: w.Places.Scratch(r.ID),
		Console: console, Record: record, Keep: w.kept.keep, Artifacts: keeper,
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
	return w.finishRun(ctx, r, console, keeper, rigErr)
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

func (w *Worker) finishRun(ctx context.Context, r Run, console ConsoleLog, keeper *Keeper, rigErr error) error {
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
	artifacts, err := keeper.Place(w.Places.Root, w.Places.Artifacts(r.ID), r.ID)
	if err != nil { // what the cases said is worth more than what they kept
		w.Log.Warn("artifacts of a run are lost", "run", r.ID, "err", err)
		artifacts = nil
	}
	if err := w.Store.FinishRun(ctx, r, crashes, artifacts...); err != nil {
		if errors.Is(err, ErrAbandoned) || errors.Is(err, ErrJobDone) { // nobody will name them
			err = errors.Join(err, os.RemoveAll(filepath.Join(w.Places.Root, w.Places.Artifacts(r.ID))))
		}
		return err
	}
	w.Notify(Event{Kind: EventRun, Job: r.Job.ID, Run: r.ID, Commit: r.Job.Commit, Target: r.Job.Target, Status: r.Status.String(), Reason: r.Reason})
	return nil
}

// templatesKept is how many templates a worker holds on to: the next suite on the same
// image goes on from the same boot.
const templatesKept = 2

// keptTemplates are those of the last runs. The zero value is ready.
type keptTemplates struct {
	mu   sync.Mutex
	list []runners.Template
}

func (k *keptTemplates) keep(t runners.Template) {
	k.mu.Lock()
	k.list = append(k.list, t)
	var old []runners.Template
	if n := len(k.list) - templatesKept; n > 0 {
		old, k.list = k.list[:n:n], k.list[n:]
	}
	k.mu.Unlock()
	for _, t := range old {
		t.Close()
	}
}

func (k *keptTemplates) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.list {
		t.Close()
	}
	k.list = nil
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
