package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
	"github.com/headwatch/headwatch/suites/kernel"
)

// scene is a case that is done in rounds, each with a seed of its own, so that it says
// how often it fails.
type scene struct {
	name     string
	layer    suites.Layer
	summary  string
	oses     []string
	requires []string
	rounds   int
	length   time.Duration // of a round
	grace    time.Duration // after it
	// workers are what the guest does, by its OS and the round's seed.
	workers func(b *bed) []guest.Worker
	// host is what the host does meanwhile, until the context ends. It leaves lines as
	// they were. Nil: nothing.
	host  func(ctx context.Context, b *bed) error
	blast map[string]int // frames a second that the kernel complains of, by OS; nil: no wire
	// lines are those on which lines must come through after each round, besides the
	// console.
	lines []string
	whole bool // no terminal may be left behind, and no memory
}

// roundSpare is what a round may take besides the storm.
const roundSpare = 25 * time.Second

// enough is how long workers have to do something, on any host.
const enough = 10 * time.Second

// echoed is how many lines must come through after each round.
const echoed = 100

func (s scene) suite() suites.Case {
	return suites.Case{
		Name: s.name, Layer: s.layer, Summary: s.summary, OSes: s.oses, Requires: s.requires, Pressure: true,
		Timeout: time.Duration(s.rounds)*(s.length+roundSpare) + 2*time.Minute, Run: s.run,
	}
}

func (s scene) run(ctx context.Context, t *suites.T) error {
	b, err := lay(ctx, t, s.grace)
	if err != nil {
		return err
	}
	if s.blast != nil {
		if err := b.wired(ctx); err != nil {
			return err
		}
	}
	var first, fault error
	r := rate{}
	var samples []map[string]int64
	for r.rounds < s.rounds {
		b.seed = t.Rand.Uint64()
		again, err := s.round(ctx, b)
		status, reason := suites.Classify(err)
		if err != nil && status != suites.Failed && len(t.Guest.Crashes()) == 0 {
			fault = err // of the rig: what was found before counts
			break
		}
		r.rounds++
		if err != nil {
			r.failed++
			if first == nil {
				first = suites.Failf("round %d, seed %d: %s", r.rounds, b.seed, reason)
			}
		}
		if !again || len(t.Guest.Crashes()) > 0 {
			break
		}
		if s.whole && t.Guest.OS() == "freebsd" {
			state, err := kernel.Snapshot(ctx, t.Guest)
			if err != nil {
				fault = err
				break
			}
			samples = append(samples, inUse(state))
		}
	}
	r.note(t.Metrics)
	if first == nil && fault == nil {
		first = judgeMemory(samples)
	}
	if kind := idle(s.workers(b), t.Metrics); first == nil && fault == nil && kind != "" && time.Duration(r.rounds)*s.length >= enough {
		fault = fmt.Errorf("workers %s did nothing in %d rounds; %v", kind, r.rounds, t.Load())
	}
	if first == nil {
		return fault
	}
	_, reason := suites.Classify(first)
	if fault != nil {
		reason += fmt.Sprintf("; given up after %d rounds: %v", r.rounds, fault)
	}
	return suites.Failf("%s; %v", reason, r)
}

// round is one. again says whether the guest can have another one.
func (s scene) round(ctx context.Context, b *bed) (again bool, err error) {
	t := b.t
	before, err := b.open(ctx, func(guest.Open) bool { return true })
	if err != nil {
		return false, err
	}
	starved := t.Guest.Starved()
	out, err := s.play(ctx, b)
	if err != nil {
		return false, err
	}
	tally(t.Metrics, out.Work)
	if err := judgeProgress(out.Work, t.Guest.Starved()-starved, s.grace); err != nil {
		return !stuck(out.Work), err
	}
	after, err := b.open(ctx, func(o guest.Open) bool { return judgeOpen(before, o, s.whole) == nil })
	if err != nil {
		return false, err
	}
	if err := judgeOpen(before, after, s.whole); err != nil {
		return true, err
	}
	if err := b.echoes(ctx, "console", consolePath, echoed); err != nil {
		return true, err
	}
	for _, line := range s.lines {
		if err := b.echoes(ctx, line, b.device(line), echoed); err != nil {
			return true, err
		}
	}
	if crashes := t.Guest.Crashes(); len(crashes) > 0 {
		return false, suites.Failf("%s", crashes[len(crashes)-1])
	}
	return true, nil
}

// play makes the storm, with what the host does to it.
func (s scene) play(ctx context.Context, b *bed) (out guest.Storm, err error) {
	acting, over := context.WithTimeout(ctx, s.length)
	defer over()
	var host sync.WaitGroup
	var acted error
	if s.host != nil {
		host.Go(func() { acted = s.host(acting, b) })
	}
	work := func() (err error) { out, err = b.storm(ctx, s.length.Seconds(), s.workers(b)...); return err }
	if s.blast != nil {
		sent := 0
		sent, err = b.blower.during(acting, s.blast[b.t.Guest.OS()], work)
		b.t.Metrics["frames"] += float64(sent)
	} else {
		err = work()
	}
	over()
	host.Wait()
	if err != nil {
		return out, within("storm", err)
	}
	if acted != nil {
		return out, fmt.Errorf("the far end: %w", acted)
	}
	return out, nil
}

// inUse is what is allocated, by name.
func inUse(s kernel.State) map[string]int64 {
	out := map[string]int64{}
	for _, c := range []kernel.Counters{s.Zones.Counters, s.Malloc.Counters} {
		for name, n := range c {
			out[name] += n
		}
	}
	return out
}
