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
	o := outcome{crashes: len(t.Guest.Crashes())}
	for o.rounds < s.rounds && s.next(ctx, b, &o) {
	}
	o.note(t.Metrics)
	if o.first == nil && o.fault == nil {
		o.first = judgeMemory(o.samples)
	}
	if kind := idle(s.workers(b), t.Metrics); kind != "" && o.fault == nil && time.Duration(o.rounds)*s.length >= enough {
		o.fault = fmt.Errorf("workers %s did nothing in %d rounds; %v", kind, o.rounds, t.Load())
	}
	return o.verdict()
}

// outcome is what came of rounds.
type outcome struct {
	rate
	first   error // the first failure
	fault   error // of the rig, which ended it
	crashes int   // on the console before the first round: its boot's
	samples []map[string]int64
}

// verdict is the first failure, with how often one was seen. A fault of the rig does not
// take back what was found before.
func (o *outcome) verdict() error {
	if o.first == nil {
		return o.fault
	}
	_, reason := suites.Classify(o.first)
	if o.fault != nil {
		reason += fmt.Sprintf("; given up after %d rounds: %v", o.rounds, o.fault)
	}
	return suites.Failf("%s; %v", reason, o.rate)
}

// next does a round. It says whether another one makes sense.
func (s scene) next(ctx context.Context, b *bed, o *outcome) bool {
	b.seed = b.t.Rand.Uint64()
	again, err := s.round(ctx, b)
	crashed := len(b.t.Guest.Crashes()) > o.crashes
	status, reason := suites.Classify(err)
	if err != nil && status != suites.Failed && !crashed {
		o.fault = err
		return false
	}
	o.rounds++
	if err == nil && crashed {
		reason = b.t.Guest.Crashes()[o.crashes]
	}
	if err != nil || crashed {
		if o.failed++; o.first == nil {
			o.first = suites.Failf("round %d, seed %d: %s", o.rounds, b.seed, reason)
		}
	}
	if !again || crashed {
		return false
	}
	if s.whole && b.t.Guest.OS() == "freebsd" {
		state, err := kernel.Snapshot(ctx, b.t.Guest)
		if err != nil {
			o.fault = err
			return false
		}
		o.samples = append(o.samples, inUse(state))
	}
	return true
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
