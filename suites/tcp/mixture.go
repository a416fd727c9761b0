package tcp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	mixRounds = 8 // of a kind in a lap
	// mixLaps are the laps that at least must be made: the first warms up, and three
	// parts of the others are compared.
	mixLaps  = 7
	mixSpare = 10 * time.Minute // for what is measured when something has grown
)

// mixture is L07: laps of every kind of end that a connection can have, in another order
// each, for so long. What leaks seldom, or by what two kinds do to each other, shows in
// the slope.
func mixture(name string, layer suites.Layer, length time.Duration) row {
	return row{
		name: name, layer: layer, timeout: length + mixSpare,
		summary: fmt.Sprintf("every kind of end, data from files among them, in any order for %v: nothing grows", length),
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Settings: abort().plan(V4, nil).Settings,
				Run: func(ctx context.Context, b *Bed) error { return mix(ctx, b, length) },
				// There are more streams than anybody follows.
				Expect: func(x *judge.Expect) { x.Off = append(x.Off, judge.TooMuch) }}
		},
	}
}

// fromFile is data that the kernel takes from a file, and that the peer's window has no
// room for: the file's memory is the socket's when it ends.
var fromFile = state{"unsent data of a file", peer.ConnOptions{Window: 1000, Scale: -1, Policy: hush}, func(v *victim, ctx context.Context) error {
	const bytes = 8 << 10
	var m guest.Moved
	if err := v.b.T.Guest.Call(ctx, guest.OpSend, guest.SendArgs{ID: v.id, Bytes: bytes, StallS: stall.Seconds(), File: true}, &m); err != nil {
		return within("send a file", err)
	}
	return moved("send a file", m, bytes)
}}

// kinds are what a lap is made of.
func (m *matrix) kinds() (all []*repeated) {
	for _, s := range append([]state{fromFile}, states...) {
		for _, e := range endings {
			all = append(all, m.repeated(s.name+", "+e.name, m.rounds(s, e)))
		}
	}
	for _, e := range halfOpen {
		all = append(all, m.repeated("half open, "+e.name, func(ctx context.Context, count int) error { return m.halfOpen(ctx, count, e.end) }))
	}
	return all
}

func mix(ctx context.Context, b *Bed, length time.Duration) error {
	m := &matrix{bed: b}
	if err := m.listen(ctx); err != nil {
		return err
	}
	kinds := m.kinds()
	var samples []Sample
	var free []float64 // pages, after each lap; FreeBSD's
	for began := b.Cable.Now(); len(samples) < mixLaps || b.Cable.Now()-began < length; {
		b.T.Rand.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, k := range kinds {
			if err := k.make(ctx, mixRounds); err != nil {
				return within(k.what, err)
			}
		}
		if err := gone(ctx, b, abortLimit); err != nil {
			return err
		}
		state, err := kernel.Snapshot(ctx, b.T.Guest)
		if err != nil {
			return err
		}
		samples = append(samples, Sample{(len(samples) + 1) * mixRounds, inUse(state)})
		if n, ok := state.Gauges.Counters["vm.stats.vm.v_free_count"]; ok {
			free = append(free, float64(n))
		}
	}
	b.Measure("laps", float64(len(samples)))
	if len(free) == len(samples) {
		b.Measure("free_pages_per_lap", slopeOf(free))
	}
	return blame(mixLeaks(samples), func() error { return screen(ctx, b, kinds) })
}

// mixLeaks finds what grows with the laps, in parts of which the second is twice as long
// as the first. The earliest are left out.
func mixLeaks(samples []Sample) []Leak {
	part := (len(samples) - 1) / 3
	samples = samples[len(samples)-1-3*part:]
	return Leaks(samples, part*mixRounds)
}

// blame has each kind looked at by itself when something leaks, for one that does it
// alone; else it was the mixture.
func blame(leaks []Leak, alone func() error) error {
	if len(leaks) == 0 {
		return nil
	}
	var told []string
	for _, l := range leaks[:min(len(leaks), 8)] {
		told = append(told, l.String()+" of each kind")
	}
	leak := suites.Failf("leak in the mixture: %s", strings.Join(told, "; "))
	err := alone()
	switch _, reason := suites.Classify(err); {
	case err == nil:
		return leak
	case status(err) == suites.Failed:
		return suites.Failf("%s; alone: %s", leak.Error(), reason)
	}
	return errors.Join(leak, err)
}

// slopeOf is the median change from one to any later one, for each step between (Theil,
// Sen).
func slopeOf(values []float64) float64 {
	var slopes []float64
	for i, a := range values {
		for j, b := range values[i+1:] {
			slopes = append(slopes, (b-a)/float64(j+1))
		}
	}
	return median(slopes)
}
