//go:build linux || freebsd

package guest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// storm is one under way.
type storm struct {
	args StormArgs
	over chan struct{} // closed when workers are to end
	// left is closed when nobody waits for them any more: what waits in the agent itself
	// ends then, what waits in the kernel does not.
	left  chan struct{}
	slots []*slot // pseudo-terminals that all threads of Ptys share

	mu   sync.Mutex
	lack error // why the storm could not be made: the agent's fault
}

// newStorm checks what is asked for.
func newStorm(a StormArgs) (*storm, error) {
	s := &storm{args: a, over: make(chan struct{}), left: make(chan struct{})}
	threads := 0
	for i, w := range a.Workers {
		n := max(w.Threads, 1)
		threads += n
		switch {
		case w.Threads < 0 || threads > MaxWorkers:
			return nil, fmt.Errorf("workers[%d]: %d threads in all, want 1 to %d", i, threads, MaxWorkers)
		case work(w.Kind) == nil:
			return nil, fmt.Errorf("workers[%d]: no kind %q", i, w.Kind)
		case w.Count < 0 || w.Count > MaxLines || w.Count == 0 && a.DurationS == 0:
			return nil, fmt.Errorf("workers[%d]: a count of %d, want 1 to %d, or a duration", i, w.Count, MaxLines)
		case w.Kind == Lines && (w.Writer < 0 || w.Writer+n > MaxWriters):
			return nil, fmt.Errorf("workers[%d]: writers %d to %d, there are %d", i, w.Writer, w.Writer+n-1, MaxWriters)
		case w.Kind == Sets && len(w.Values) == 0:
			return nil, fmt.Errorf("workers[%d]: nothing to set", i)
		case w.MiB < 0 || w.MiB > 1024 || !(w.Rate >= 0):
			return nil, fmt.Errorf("workers[%d]: %d MiB, rate %v", i, w.MiB, w.Rate)
		}
	}
	if threads == 0 || !(a.DurationS >= 0 && a.DurationS <= MaxDuration && a.GraceS >= 0 && a.GraceS <= MaxDuration) {
		return nil, fmt.Errorf("a storm of %d threads for %v s and %v s: want one at least, and up to %d s", threads, a.DurationS, a.GraceS, MaxDuration)
	}
	if a.Fault != nil && (a.Fault.Every < 1 || !slices.Contains(faults, a.Fault.Name)) {
		return nil, fmt.Errorf("fault %q, one in %d: want one of %v", a.Fault.Name, a.Fault.Every, faults)
	}
	for range maxSlots {
		s.slots = append(s.slots, &slot{master: -1})
	}
	return s, nil
}

// brew runs a storm. Threads that do not come back from the kernel are left there, and
// are in the account.
func brew(ctx context.Context, a StormArgs) (Storm, error) {
	s, err := newStorm(a)
	if err != nil {
		return Storm{}, err
	}
	if err := prepare(); err != nil {
		return Storm{}, err
	}
	var threads []*thread
	for i, w := range a.Workers {
		for n := range max(w.Threads, 1) {
			t := &thread{storm: s, Worker: w, n: n, done: make(chan struct{}), errnos: map[string]int{}}
			t.rand = rand.New(rand.NewPCG(a.Seed, uint64(i)<<32|uint64(n)))
			threads = append(threads, t)
		}
	}
	began := time.Now()
	for _, t := range threads {
		go t.run(work(t.Kind))
	}
	s.await(ctx, threads, began)
	out := Storm{DurationS: time.Since(began).Seconds()}
	for _, t := range threads {
		out.Work = append(out.Work, t.account())
	}
	close(s.left)
	s.empty()
	if s.lack != nil {
		return out, s.lack
	}
	return out, ctx.Err()
}

// await waits for the storm's end, and then for its threads.
func (s *storm) await(ctx context.Context, threads []*thread, began time.Time) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, t := range threads {
			select {
			case <-t.done:
			case <-s.left:
				return
			}
		}
	}()
	var end <-chan time.Time
	if s.args.DurationS > 0 {
		end = time.After(seconds(s.args.DurationS) - time.Since(began))
	}
	select {
	case <-ended:
	case <-end:
	case <-ctx.Done():
	}
	close(s.over)
	grace := time.NewTimer(seconds(s.args.GraceS))
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	}
}

// fails notes the agent's own trouble, the first one.
func (s *storm) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lack == nil {
		s.lack = err
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
