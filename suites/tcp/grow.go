package tcp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// repeated is something that a guest does again and again, and of which nothing may
// stay in use.
type repeated struct {
	what  string // in a failure's reason; empty: the case does nothing else
	unit  string // of what is counted, in the plural; empty: rounds
	n     int    // a measurement makes n, and then 2n
	steps int    // samples in each n
	done  int    // so far
	// rounds makes so many. It returns when they have ended at both ends; what the kernel
	// still does with them then is waited for.
	rounds func(ctx context.Context, count int) error
	// quiet waits until the kernel is through with them. Nil: until no connection is left,
	// which it need not come to.
	quiet func(ctx context.Context, b *Bed) error

	samples []Sample
}

// leakless measures, and again when there is a leak: what is one grows on.
func (r *repeated) leakless(ctx context.Context, b *Bed) error {
	leaks, err := r.measure(ctx, b)
	if err == nil && len(leaks) > 0 {
		var again []Leak
		again, err = r.measure(ctx, b)
		leaks = both(leaks, again)
	}
	if err != nil || len(leaks) == 0 {
		return within(r.what, err)
	}
	var told []string
	for _, l := range leaks[:min(len(leaks), 8)] {
		told = append(told, l.String())
	}
	unit := r.unit
	if unit == "" {
		unit = "rounds"
	}
	return within(r.what, suites.Failf("leak in %d %s: %s", r.samples[len(r.samples)-1].Rounds-r.samples[0].Rounds, unit, strings.Join(told, "; ")))
}

// both are the leaks that were found twice, as they were the second time.
func both(first, again []Leak) (leaks []Leak) {
	for _, l := range again {
		for _, f := range first {
			if f.Name == l.Name {
				leaks = append(leaks, l)
			}
		}
	}
	return leaks
}

// measure makes n and 2n rounds, with samples on the way.
func (r *repeated) measure(ctx context.Context, b *Bed) ([]Leak, error) {
	r.samples = nil
	for i := range 3*r.steps + 1 {
		if i > 0 {
			if err := r.make(ctx, r.n/r.steps); err != nil {
				return nil, err
			}
		}
		s, err := r.sample(ctx, b)
		if err != nil {
			return nil, err
		}
		r.samples = append(r.samples, s)
	}
	return Leaks(r.samples, r.n), nil
}

func (r *repeated) make(ctx context.Context, count int) error {
	if err := r.rounds(ctx, count); err != nil {
		return err
	}
	r.done += count
	return nil
}

// sample waits until the kernel is at rest, and reads what is in use.
func (r *repeated) sample(ctx context.Context, b *Bed) (Sample, error) {
	if r.quiet == nil {
		quiesce(ctx, b)
	} else if err := r.quiet(ctx, b); err != nil {
		return Sample{}, err
	}
	state, err := kernel.Snapshot(ctx, b.T.Guest)
	return Sample{r.done, inUse(state)}, err
}

// screenings is how often the same thing must have grown to be measured. Pools of a
// kernel fill once or twice.
const screenings = 3

// screen looks at many things that are repeated: each is done n times, again while
// something grows each time by what a leak leaves behind, and measured when that
// does not end. Reading a kernel's counters takes as long as a hundred rounds.
func screen(ctx context.Context, b *Bed, all []*repeated) error {
	before, err := all[0].sample(ctx, b)
	if err != nil {
		return err
	}
	measured := 0
	for _, r := range all {
		var growing []string
		for i := 0; i < screenings && (i == 0 || len(growing) > 0); i++ {
			if err := r.make(ctx, r.n); err != nil {
				return within(r.what, err)
			}
			after, err := r.sample(ctx, b)
			if err != nil {
				return within(r.what, err)
			}
			now := grown(before, after, r.n)
			if i > 0 {
				now = slices.DeleteFunc(now, func(name string) bool { return !slices.Contains(growing, name) })
			}
			growing, before = now, after
		}
		if len(growing) == 0 {
			continue
		}
		measured++
		if err := r.leakless(ctx, b); err != nil {
			return err
		}
		if before, err = r.sample(ctx, b); err != nil {
			return within(r.what, err)
		}
	}
	b.Measure("measured_types", float64(measured))
	return nil
}

// grown are the names of what there is more of by at least as much as n rounds of the
// smallest leak leave behind.
func grown(before, after Sample, n int) (names []string) {
	for name, count := range after.InUse {
		if !cached(name) && float64(count-before.InUse[name]) >= least(n) {
			names = append(names, name)
		}
	}
	return names
}

// gone waits until the guest has no connection left. One that stays is a finding.
func gone(ctx context.Context, b *Bed, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		states, err := tcpStates(ctx, b.T.Guest)
		if err != nil {
			return err
		}
		left := lasting(states)
		if left == "" {
			return nil
		}
		select {
		case <-again.C:
		case <-over.C:
			return stallf("%v after they have ended there still are connections: %s", limit, left)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lasting names what neither is closed nor listens. A number below 0 is one that was
// counted off twice.
func lasting(states kernel.Counters) string {
	var told []string
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if n := states[name]; n != 0 && name != "LISTEN" && name != "CLOSED" {
			told = append(told, fmt.Sprintf("%d in %s", n, name))
		}
	}
	return strings.Join(told, ", ")
}

// resentCounts are the counters of what is sent again. Cases that let connections die in the
// middle of something do not compare them.
var resentCounts = []judge.Counter{judge.ResentSegments, judge.ResentBytes, judge.Timeouts, judge.FastRetransmits, judge.SACKSegments, judge.Probes}
