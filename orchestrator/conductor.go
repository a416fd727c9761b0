package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
)

// Conductor owns a state directory: it discovers, plans and waits, while its
// worker carries out the jobs. Everything that it knows is in the store, so one
// that was killed goes on where the store says.
type Conductor struct {
	Pipeline  *pipeline.File
	Store     Store
	Queue     Queue
	Sources   Sources
	Discovery Discovery
	Planner   Planner
	Places    Places
	Notify    func(Event) // nil: nobody watches
	Log       *slog.Logger

	planning sync.Mutex // one decision at a time: two could plan the same repeat
	wake     bell
}

// bell wakes everybody who waits for it.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed at the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// Wake says that something happened which planning should look at.
func (c *Conductor) Wake() { c.wake.ring() }

// Recover clears what a predecessor left in flight and queues what it owed. The
// caller owns the state directory, so nothing in the scratch folder is in use.
func (c *Conductor) Recover(ctx context.Context) error {
	if err := os.RemoveAll(c.Places.Scratch("")); err != nil {
		return fmt.Errorf("clear the scratch folder: %w", err)
	}
	jobs, err := c.Store.OpenJobs(ctx)
	if err != nil {
		return err
	}
	return c.Queue.Rebuild(ctx, jobs)
}

// Targets lists the targets that the matrix builds from an upstream.
func (c *Conductor) Targets(upstream string) []pipeline.Target {
	var out []pipeline.Target
	for _, cell := range c.Planner.Cells {
		if cell.Upstream != upstream || slices.ContainsFunc(out, func(t pipeline.Target) bool { return t.Name == cell.Target }) {
			continue
		}
		out = append(out, c.Pipeline.Targets[cell.Target])
	}
	return out
}

// Discover looks for new commits of an upstream.
func (c *Conductor) Discover(ctx context.Context, upstream string) (Update, error) {
	src, err := c.Sources(ctx, upstream)
	if err != nil {
		return Update{}, err
	}
	return c.Discovery.Discover(ctx, upstream, src, c.Targets(upstream))
}

// SelectNewest asks for the head of an upstream to be tested.
func (c *Conductor) SelectNewest(ctx context.Context, upstream string) error {
	head, err := c.Store.Head(ctx, upstream)
	if err != nil || head == "" {
		return err
	}
	for _, t := range c.Targets(upstream) {
		d := Decision{Upstream: upstream, Target: t.Name, Select: []Selection{{Commit: head, Target: t.Name, Reason: ByNewest}}}
		if err := c.Store.Apply(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// Plan looks at what is known of an upstream, stores what follows from it and
// queues the jobs. Doing it twice changes nothing.
func (c *Conductor) Plan(ctx context.Context, upstream string) error {
	c.planning.Lock()
	defer c.planning.Unlock()
	for _, t := range c.Targets(upstream) {
		v, err := c.Store.View(ctx, upstream, t.Name)
		if err != nil {
			return err
		}
		d := c.Planner.Plan(v)
		if err := c.describe(ctx, v, d.Regressions); err != nil {
			return err
		}
		if err := c.Store.Apply(ctx, d); err != nil {
			return err
		}
		for _, j := range d.Jobs {
			if err := c.Queue.Publish(ctx, j); err != nil {
				return fmt.Errorf("queue job %s: %w", j.ID, err)
			}
		}
	}
	return nil
}

// describe gives regressions their evidence and their times. The evidence is the
// oldest bad commit's, which changes while the search goes on.
func (c *Conductor) describe(ctx context.Context, v View, regs []Regression) error {
	for i := range regs {
		r := &regs[i]
		if r.Case == CaseBuild {
			r.Reason = v.Builds[v.Inputs[r.Bad]].Reason
		} else {
			key := TallyKey{Build: v.Inputs[r.Bad], Machine: r.Machine, Case: r.Case}
			run, reason, err := c.Store.Evidence(ctx, key)
			if err != nil {
				return err
			}
			if run != "" {
				r.Run, r.Reason = run, reason
			}
		}
		if r.Opened.IsZero() {
			r.Opened = time.Now()
			c.Log.Info("regression suspected", "case", r.Case, "target", r.Target, "good", r.Good, "bad", r.Bad)
		}
		if r.State != Suspected && r.Closed.IsZero() {
			r.Closed = time.Now()
			c.Log.Info("regression "+string(r.State), "case", r.Case, "target", r.Target, "culprit", r.Culprit, "confidence", r.Confidence)
		}
	}
	return nil
}

// Pass takes each upstream's newest commit to verdicts: fetch, select, settle.
// An upstream that cannot be fetched does not keep the others waiting; its error
// is returned with the rest when the pass is over.
func (c *Conductor) Pass(ctx context.Context, upstreams []string) error {
	var errs []error
	var fetched []string
	for _, u := range upstreams {
		if _, err := c.Discover(ctx, u); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := c.SelectNewest(ctx, u); err != nil {
			return errors.Join(append(errs, err)...)
		}
		fetched = append(fetched, u)
	}
	return errors.Join(append(errs, c.Settle(ctx, fetched))...)
}
