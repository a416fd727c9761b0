package orchestrator

import (
	"context"
	"fmt"
	"time"
)

// Bisect takes a bisection to its end, and says at each step how far it is. What is
// stored is enough to go on from: one that is stopped, or killed, is taken up by the
// next call with the same bisection.
func (c *Conductor) Bisect(ctx context.Context, b Bisection, o BisectOptions, show func(Advance)) (Advance, error) {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		rung := c.wake.next() // before looking, so that nothing slips between
		a, err := c.advance(ctx, b, o)
		if err != nil {
			return a, err
		}
		if show != nil {
			show(a)
		}
		switch {
		case a.Done():
			return a, nil
		case len(a.Jobs) == 0 && a.Waiting == 0:
			return a, fmt.Errorf("bisection %d has neither an answer nor anything to run: ours to mend", a.Bisection.ID)
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-rung:
		case <-tick.C:
		}
	}
}

// Reaching makes the followed line begin at a commit or before it, so that a search can
// begin there. What is older than what was followed is marked as such.
func (c *Conductor) Reaching(ctx context.Context, upstream, commit string) error {
	src, err := c.Sources(ctx, upstream)
	if err != nil {
		return err
	}
	u, err := src.Since(ctx, commit)
	if err != nil {
		return err
	}
	for i := range u.New {
		u.New[i].Beyond = true // one that is known stays as it is
	}
	if err := c.Store.AddUpdate(ctx, upstream, u); err != nil {
		return err
	}
	for _, t := range c.Targets(upstream) {
		if err := c.Discovery.resolve(ctx, upstream, src, t); err != nil {
			return fmt.Errorf("inputs of %s: %w", t.Name, err)
		}
	}
	return nil
}

// LookAt weighs a bisection without doing anything for it.
func (c *Conductor) LookAt(ctx context.Context, b Bisection, o BisectOptions) (Advance, error) {
	t, ok := c.Pipeline.Targets[b.Target]
	if !ok {
		return Advance{}, fmt.Errorf("target %q is not in the pipeline", b.Target)
	}
	v, err := c.View(ctx, b.Upstream, t)
	if err != nil {
		return Advance{}, err
	}
	seen, err := c.Store.Observed(ctx, b, v.Rig.Digest)
	if err != nil {
		return Advance{}, err
	}
	return c.Planner.Advance(v, b, seen, o)
}

// advance takes a bisection one step further: its jobs are stored and queued, or its
// end is, and what it no longer wants is dropped.
func (c *Conductor) advance(ctx context.Context, b Bisection, o BisectOptions) (Advance, error) {
	c.planning.Lock()
	defer c.planning.Unlock()
	return c.step(ctx, b, o)
}

// step is advance for who holds the planning.
func (c *Conductor) step(ctx context.Context, b Bisection, o BisectOptions) (Advance, error) {
	a, err := c.LookAt(ctx, b, o)
	if err != nil {
		return a, err
	}
	if a.Done() {
		return c.endBisection(ctx, a)
	}
	d := Decision{Upstream: b.Upstream, Target: b.Target, Jobs: a.Jobs}
	if err := c.Store.Apply(ctx, d); err != nil {
		return a, err
	}
	for _, j := range a.Jobs {
		if err := c.Queue.Publish(ctx, j); err != nil {
			return a, fmt.Errorf("queue job %s: %w", j.ID, err)
		}
	}
	return a, nil
}

// endBisection stores the end of a search and drops what it had asked for besides.
func (c *Conductor) endBisection(ctx context.Context, a Advance) (Advance, error) {
	a.Bisection = a.end()
	if err := c.Store.EndBisection(ctx, a.Bisection); err != nil {
		return a, err
	}
	open, err := c.Store.OpenJobs(ctx)
	if err != nil {
		return a, err
	}
	var ids []string
	for _, j := range open {
		if j.Bisection == a.Bisection.ID {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return a, nil
	}
	return a, c.Store.DropJobs(ctx, ids)
}
