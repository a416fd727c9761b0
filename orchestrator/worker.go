package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// EventKind says what happened. The zero value is invalid.
type EventKind string

// Kinds of event.
const (
	EventCommits EventKind = "commits" // an upstream moved
	EventBuild   EventKind = "build"   // a build ended
	EventStarted EventKind = "started" // a run started
	EventResult  EventKind = "result"  // a case ended
	EventRun     EventKind = "run"     // a run ended
)

// Event is something that people watch for. Events may be lost; the store has
// the truth.
type Event struct {
	Kind   EventKind `json:"kind"`
	Job    string    `json:"job,omitempty"`
	Run    string    `json:"run,omitempty"`
	Commit string    `json:"commit,omitempty"`
	Target string    `json:"target,omitempty"`
	Case   string    `json:"case,omitempty"`
	Status string    `json:"status,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// ConsoleLog is a console that can be kept.
type ConsoleLog interface {
	RunConsole
	Save(path string) error
	Close() error
}

// Worker takes jobs from the queue and carries them out: builds and runs.
type Worker struct {
	Store    Journal
	Queue    Queue
	Pipeline *pipeline.File
	Suites   []suites.Suite
	Sources  Sources
	Builder  runners.Builder
	Runner   runners.Runner
	Console  func(run string) ConsoleLog         // a new log, live under the run's id until closed
	Symbols  func(debug string) (Symbols, error) // opens a kernel's debug file; nil: crashes stay as printed
	Places   Places
	Host     string
	Notify   func(Event)
	Log      *slog.Logger
	// GiveUp is how many outcomes in a row may fail to be stored before Work ends
	// with an error; 0 goes on for ever, as a daemon does: disks get room again.
	GiveUp int
	Now    func() time.Time // nil: time.Now

	kept keptTemplates
}

// retryDelay is how long a job waits whose outcome could not be stored.
const retryDelay = 5 * time.Second

// Work carries out jobs, n at once, until ctx is done, and waits for the ones
// under way to be handed back.
func (w *Worker) Work(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer w.kept.close()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if errs[i] = w.loop(ctx); errs[i] != nil {
				cancel() // a queue that is gone is gone for all
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *Worker) loop(ctx context.Context) error {
	unstored := 0
	for {
		lease, err := w.Queue.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.carryOut(ctx, lease); err == nil {
			unstored = 0
		} else if unstored++; unstored == w.GiveUp {
			return fmt.Errorf("outcomes of jobs cannot be stored: %w", err)
		}
	}
}

// carryOut does one job. It takes the job off the queue only after its outcome
// is stored; whatever else happens, the job comes back. It returns why an outcome
// could not be stored.
func (w *Worker) carryOut(ctx context.Context, lease Lease) error {
	j := lease.Job()
	var err error
	switch j.Kind {
	case BuildJob:
		err = w.build(ctx, j)
	case RunJob:
		err = w.run(ctx, j)
	default:
		w.Log.Error("job of an unknown kind dropped", "job", j.ID, "kind", j.Kind)
	}
	// The lease must end even when we are being stopped.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if errors.Is(err, ErrAbandoned) {
		w.Log.Warn("another attempt has taken the job over", "job", j.ID)
		lease.Drop()
		return nil
	}
	if errors.Is(err, ErrUnknownJob) {
		w.Log.Error("a job that nobody planned is dropped", "job", j.ID)
		err = nil
	}
	if err == nil || errors.Is(err, ErrJobDone) {
		if err := lease.Done(end); err != nil {
			w.Log.Warn("job is stored but still queued; it will be recognized", "job", j.ID, "err", err)
		}
		return nil
	}
	delay := retryDelay
	if ctx.Err() != nil {
		delay, err = 0, nil
	} else {
		w.Log.Error("job could not be carried out, it is tried again", "job", j.ID, "err", err)
	}
	if err := lease.Return(end, delay); err != nil {
		w.Log.Warn("job could not be handed back, its lease will run out", "job", j.ID, "err", err)
	}
	return err
}
