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
	Upstreams map[string]Source
	Discovery Discovery
	Planner   Planner
	Places    Places
	Log       *slog.Logger

	planning sync.Mutex // one decision at a time: two could plan the same repeat
	wake     chan struct{}
	wakeOnce sync.Once
}

// woken is the channel that Wake fills; it holds one token.
func (c *Conductor) woken() chan struct{} {
	c.wakeOnce.Do(func() { c.wake = make(chan struct{}, 1) })
	return c.wake
}

// Wake says that something happened which planning should look at.
func (c *Conductor) Wake() {
	select {
	case c.woken() <- struct{}{}:
	default:
	}
}

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
	src, ok := c.Upstreams[upstream]
	if !ok {
		return Update{}, fmt.Errorf("upstream %q is not in the pipeline", upstream)
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

// describe gives regressions their evidence and their times.
func (c *Conductor) describe(ctx context.Context, v View, regs []Regression) error {
	for i := range regs {
		r := &regs[i]
		if r.Reason == "" && r.Case == CaseBuild {
			r.Reason = v.Builds[v.Inputs[r.Bad]].Reason
		} else if r.Reason == "" {
			var err error
			key := TallyKey{Build: v.Inputs[r.Bad], Machine: r.Machine, Case: r.Case}
			if r.Run, r.Reason, err = c.Store.Evidence(ctx, key); err != nil {
				return err
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

// planEvery bounds how long a lost wake-up can delay a plan.
const planEvery = 5 * time.Second

// Settle plans and waits until nothing is left to do for the upstreams.
func (c *Conductor) Settle(ctx context.Context, upstreams []string) error {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		for _, u := range upstreams {
			if err := c.Plan(ctx, u); err != nil {
				return err
			}
		}
		open, err := c.Store.OpenJobs(ctx)
		if err != nil || len(open) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.woken():
		case <-tick.C:
		}
	}
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
