package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
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
	Runner    Describer // boots what is planned
	Places    Places
	Notify    func(Event) // nil: nobody watches
	Log       *slog.Logger

	planning    sync.Mutex        // one decision at a time: two could plan the same repeat
	unplanned   map[string]string // target → why it could not be planned last, for planning's holder
	discovering sync.Map          // upstream → *sync.Mutex: one discovery of each at a time
	wake        bell
}

// Describer says in one line what boots machines. Another description is another
// rig: an upgrade of ours is no commit's fault.
type Describer interface {
	Describe(ctx context.Context) (string, error)
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
	jobs, gone := c.current(ctx, jobs)
	if len(gone) > 0 {
		c.Log.Warn("jobs of another rig are dropped; what they were to tell is planned anew", "jobs", len(gone))
		if err := c.Store.DropJobs(ctx, gone); err != nil {
			return err
		}
	}
	return c.Queue.Rebuild(ctx, jobs)
}

// current parts jobs into those of today's rig and the ids of the others: what
// was planned with another kernel package, agent, machine or suite would be done
// with today's, and its results taken for the other's.
func (c *Conductor) current(ctx context.Context, jobs []Job) (keep []Job, gone []string) {
	type place struct{ upstream, target string }
	digests := map[place]string{}
	for _, j := range jobs {
		at := place{j.Upstream, j.Target}
		if _, known := digests[at]; !known {
			digests[at] = ""
			if t, ok := c.Pipeline.Targets[j.Target]; ok {
				if rig, err := c.rig(ctx, j.Upstream, t); err == nil {
					digests[at] = rig.Digest
				}
			}
		}
		if j.Rig == digests[at] {
			keep = append(keep, j)
		} else {
			gone = append(gone, j.ID)
		}
	}
	return keep, gone
}

// errNoRig says that a target cannot be built or booted on this host.
var errNoRig = errors.New("no rig")

// View is what today's rig knows of a target on an upstream.
func (c *Conductor) View(ctx context.Context, upstream string, t pipeline.Target) (View, error) {
	rig, err := c.rig(ctx, upstream, t)
	if err != nil {
		return View{}, fmt.Errorf("%w: %w", errNoRig, err)
	}
	return c.Store.View(ctx, upstream, t.Name, rig)
}

// rig is the rig of a target on an upstream as it is now.
func (c *Conductor) rig(ctx context.Context, upstream string, t pipeline.Target) (Rig, error) {
	_, salt, err := c.Discovery.Builder.Inputs(ctx, Recipe(t))
	if err != nil {
		return Rig{}, fmt.Errorf("inputs of %s: %w", t.Name, err)
	}
	runner, err := c.Runner.Describe(ctx)
	if err != nil {
		return Rig{}, fmt.Errorf("what boots %s cannot be described: %w", t.Name, err)
	}
	return c.Planner.Rig(upstream, t.Name, salt, runner), nil
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

// Discover looks for new commits of an upstream. What a target of it cannot be
// built for is an error, and the rest is done.
func (c *Conductor) Discover(ctx context.Context, upstream string) (Update, error) {
	mu, _ := c.discovering.LoadOrStore(upstream, new(sync.Mutex))
	mu.(*sync.Mutex).Lock()
	defer mu.(*sync.Mutex).Unlock()
	src, err := c.Sources(ctx, upstream)
	if err != nil {
		return Update{}, err
	}
	return c.Discovery.Discover(ctx, upstream, src, c.Targets(upstream))
}

// SelectNewest begins a pass: it asks for the head of an upstream to be tested, up
// to a layer; 0 means all. What the rig broke there gets new tries, and so does
// what it broke in the range of a search.
func (c *Conductor) SelectNewest(ctx context.Context, upstream string, upto suites.Layer) error {
	head, err := c.Store.Head(ctx, upstream)
	if err != nil || head == "" {
		return err
	}
	var errs []error
	for _, t := range c.Targets(upstream) {
		if err := c.selectFor(ctx, upstream, t, Selection{Commit: head, Target: t.Name, Reason: ByNewest, Upto: upto}); errors.Is(err, errNoRig) {
			errs = append(errs, err)
		} else if err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func (c *Conductor) selectFor(ctx context.Context, upstream string, t pipeline.Target, newest Selection) error {
	c.planning.Lock() // or a plan that looked before would search on as if nothing was tried again
	defer c.planning.Unlock()
	v, err := c.View(ctx, upstream, t)
	if err != nil {
		return err
	}
	return c.Store.Apply(ctx, Decision{Upstream: upstream, Target: t.Name, Rig: v.Rig.Digest,
		Select: append(c.Planner.Again(v.Merged()), newest)})
}

// Plan looks at what is known of an upstream, stores what follows from it and
// queues the jobs. Doing it twice changes nothing.
func (c *Conductor) Plan(ctx context.Context, upstream string) error {
	c.planning.Lock()
	defer c.planning.Unlock()
	for _, t := range c.Targets(upstream) {
		v, err := c.View(ctx, upstream, t)
		if errors.Is(err, errNoRig) {
			c.warnUnplanned(upstream+" "+t.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		delete(c.unplanned, upstream+" "+t.Name)
		v = v.Merged()
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
		if err := c.searchDoubts(ctx, t, v); err != nil {
			return err
		}
	}
	return nil
}

// warnUnplanned says why a target cannot be planned here, once for each reason: a
// daemon plans again and again.
func (c *Conductor) warnUnplanned(target string, err error) {
	if c.unplanned == nil {
		c.unplanned = map[string]string{}
	}
	if c.unplanned[target] != err.Error() && !errors.Is(err, context.Canceled) {
		c.unplanned[target] = err.Error()
		c.Log.Warn("a target cannot be planned here", "target", target, "err", err)
	}
}

// describe gives regressions their evidence and their times. The evidence is the
// oldest bad commit's, which changes while the search goes on.
func (c *Conductor) describe(ctx context.Context, v View, regs []Regression) error {
	for i := range regs {
		r := &regs[i]
		if err := c.addEvidence(ctx, v, r); err != nil {
			return err
		}
		if r.Opened.IsZero() {
			r.Opened = time.Now()
			c.Log.Info("regression suspected", "case", r.Case, "target", r.Target, "good", r.Good, "bad", r.Bad)
		}
		if r.State != Suspected {
			if r.Closed.IsZero() {
				r.Closed = time.Now()
			}
			c.Log.Info("regression "+string(r.State), "case", r.Case, "target", r.Target, "culprit", r.Culprit, "confidence", r.Confidence)
		}
	}
	return nil
}

// addEvidence tells what the bad end of a regression's range said, and what went
// both ways when nobody is accused. What is over keeps what was said of it.
func (c *Conductor) addEvidence(ctx context.Context, v View, r *Regression) error {
	if r.State == Fixed || r.State == Withdrawn {
		return nil
	}
	if r.Case == CaseBuild {
		r.Reason = v.Builds[v.Inputs[r.Bad]].Reason
		return nil
	}
	run, reason, err := c.Store.Evidence(ctx, TallyKey{Build: v.Inputs[r.Bad], Machine: r.Machine, Case: r.Case})
	if err != nil {
		return err
	}
	if run != "" {
		r.Run, r.Reason = run, reason
	}
	if note := v.flakes(*r); note != "" && r.State == Ranged && !strings.HasPrefix(r.Reason, "flaky: ") {
		r.Reason = strings.TrimSuffix(note+": "+r.Reason, ": ")
	}
	return nil
}

// Pass takes each upstream's newest commit to verdicts: fetch, select, settle.
// upto says how far each upstream is tested, 0 for all layers. An upstream or a
// target that cannot be had does not keep the others waiting; its error is
// returned with the rest when the pass is over.
func (c *Conductor) Pass(ctx context.Context, upto map[string]suites.Layer) error {
	var errs []error
	upstreams := slices.Sorted(maps.Keys(upto))
	for _, u := range upstreams {
		if _, err := c.Discover(ctx, u); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := c.SelectNewest(ctx, u, upto[u]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, c.Settle(ctx, upstreams))...)
}
