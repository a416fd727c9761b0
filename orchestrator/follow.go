package orchestrator

import (
	"context"
	"sync"
	"time"
)

// planEvery bounds how long a lost wake-up can delay a plan. Whatever ends rings
// the bell, so it is only a net.
const planEvery = 30 * time.Second

// Settle plans and waits until nothing is left to do for the upstreams.
func (c *Conductor) Settle(ctx context.Context, upstreams []string) error {
	return c.planUntil(ctx, upstreams, func() (bool, error) { return true, nil })
}

// Reach waits until a commit is an upstream's head and settled. A commit whose
// inputs are not known yet is not on the line that is planned, so it is waited for.
func (c *Conductor) Reach(ctx context.Context, upstream, commit string) error {
	return c.planUntil(ctx, []string{upstream}, func() (bool, error) {
		head, err := c.Store.Head(ctx, upstream)
		if err != nil || head != commit {
			return false, err
		}
		for _, t := range c.Targets(upstream) {
			rig, err := c.rig(ctx, upstream, t)
			if err != nil {
				return false, err
			}
			left, err := c.Store.Unresolved(ctx, upstream, t.Name, rig.Salt, 1)
			if err != nil || len(left) > 0 {
				return false, err
			}
		}
		return true, nil
	})
}

// planUntil plans whenever something happened, until no job is open and done
// agrees.
func (c *Conductor) planUntil(ctx context.Context, upstreams []string, done func() (bool, error)) error {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		rung := c.wake.next() // before looking, so that nothing slips between
		ready, err := done()
		if err != nil {
			return err
		}
		if err := c.planAll(ctx, upstreams); err != nil {
			return err
		}
		open, err := c.Store.OpenJobs(ctx)
		if err != nil || (ready && len(open) == 0) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rung:
		case <-tick.C:
		}
	}
}

func (c *Conductor) planAll(ctx context.Context, upstreams []string) error {
	for _, u := range upstreams {
		if err := c.Plan(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// Follow watches upstreams until ctx is done: it discovers new commits as they
// come, and plans whenever something happened. An upstream that cannot be reached
// is asked again later; a store that cannot be read ends it.
func (c *Conductor) Follow(ctx context.Context, pollers map[string]Poller) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var names []string
	for name, p := range pollers {
		names = append(names, name)
		wg.Go(func() { c.watch(ctx, name, p) })
	}
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		rung := c.wake.next()
		if err := c.planAll(ctx, names); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-rung:
		case <-tick.C:
		}
	}
}

// watch looks whenever the poller says that the branch has moved.
func (c *Conductor) watch(ctx context.Context, upstream string, p Poller) {
	for {
		timer := time.NewTimer(p.Next())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		_, changed, err := p.Changed(ctx)
		if err == nil && changed {
			var u Update
			if u, err = c.Look(ctx, upstream); err == nil {
				p.Saw(u.Head)
			}
		}
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("upstream could not be followed, it is tried again", "upstream", upstream, "err", err)
		}
	}
}

// Look discovers once and tells everybody who waits for new commits.
func (c *Conductor) Look(ctx context.Context, upstream string) (Update, error) {
	u, err := c.Discover(ctx, upstream)
	if err == nil {
		c.announce(upstream, u)
	}
	return u, err
}

func (c *Conductor) announce(upstream string, u Update) {
	if len(u.New)+len(u.Dropped) == 0 {
		return
	}
	c.Log.Info("new commits", "upstream", upstream, "new", len(u.New), "dropped", len(u.Dropped), "head", u.Head)
	if c.Notify != nil {
		c.Notify(Event{Kind: EventCommits, Commit: u.Head})
	}
	c.Wake()
}
