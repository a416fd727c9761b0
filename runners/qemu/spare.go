package qemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

const (
	// spareAge is how long a spare is kept for nothing. It holds some 50 MiB.
	spareAge = 5 * time.Minute
	// spareAfter is how many starts are served until the first spare is made. A
	// template of one start never pays for one. After two the next is as likely as
	// not, and a last spare that nobody takes is at worst a third of all the clones
	// that were made.
	spareAfter = 2
	// spareTries is how many spares may come to nothing, one after the other, until no
	// more are made.
	spareTries = 3
)

// spare is a clone that was started before anybody asked for it. Its guest ran
// until it was renewed once, with a seed and addresses that nobody else has, and
// was stopped: the code that a renewal needs is translated. All that makes a clone
// one of its own is done again, in full, when it is asked for.
type spare struct {
	*machine
	log *sink
}

// alive says that neither QEMU nor the agent is gone.
func (s *spare) alive() bool {
	select {
	case <-s.client.Done():
	case <-s.vm.proc.done:
	default:
		return true
	}
	return false
}

// reserve keeps one spare of a template. Its owner ends it with close.
type reserve struct {
	// create makes one, and hurries once asked is closed. quiet: at the lowest
	// priority until then.
	create func(ctx context.Context, quiet bool, asked <-chan struct{}) (*spare, error)
	roomy  func() bool // there is memory for one
	quiet  func() bool // the lowest priority can be taken back
	log    *slog.Logger

	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu     sync.Mutex
	closed bool
	served int
	failed int    // spares that could not be made, one after the other
	next   *order // nil: no spare is there or on its way
}

// order is a spare that is there or on its way.
type order struct {
	asked  chan struct{} // closed by the one start that waits for it
	handed chan *spare   // closed when there is none, or not any more
	ready  chan struct{} // closed when it is made, or cannot be
	made   *spare        // set before that; nil: it cannot
	cancel context.CancelFunc
}

// newReserve is for guests with so much memory, in MiB.
func newReserve(r *Runner, create func(context.Context, bool, <-chan struct{}) (*spare, error), guest int) *reserve {
	roomy := func() bool { return roomFor(guest, available()) }
	s := &reserve{create: create, roomy: roomy, quiet: r.quiet, log: r.logger}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// take returns the spare, nil if there is none: who asks then makes a clone. One
// that is being made is waited for: what is left is less than the whole.
func (r *reserve) take(ctx context.Context) *spare {
	r.mu.Lock()
	o := r.next
	r.next = nil
	r.mu.Unlock()
	if o == nil {
		return nil
	}
	close(o.asked)
	select {
	case s := <-o.handed:
		if s != nil && !s.alive() {
			s.Close() // how it ended matters to nobody
			return nil
		}
		return s
	case <-ctx.Done():
		o.cancel()
		return nil
	}
}

// refill has the next spare made, once a start was served whose machine ends with
// gone. Where the spare would take CPU from that machine, it waits for its end.
func (r *reserve) refill(gone <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served++; r.served < spareAfter || r.failed >= spareTries || r.next != nil || r.closed || !r.roomy() {
		return
	}
	ctx, cancel := context.WithCancel(r.life)
	o := &order{asked: make(chan struct{}), handed: make(chan *spare), ready: make(chan struct{}), cancel: cancel}
	r.next = o
	r.tasks.Go(func() {
		defer cancel()
		defer close(o.handed)
		defer r.forget(o)
		quiet := r.quiet()
		if !quiet {
			select {
			case <-gone:
			case <-o.asked: // now it would be made for nothing but its maker
				close(o.ready)
				return
			case <-ctx.Done():
			}
		}
		r.fill(ctx, o, quiet)
	})
}

// fill makes a spare and keeps it until it is taken.
func (r *reserve) fill(ctx context.Context, o *order, quiet bool) {
	made, err := r.create(ctx, quiet, o.asked)
	o.made = made
	close(o.ready)
	if err != nil {
		if ctx.Err() == nil {
			r.failures(1)
			r.log.Info("a spare clone did not come up; the next start makes its own", "error", err)
		}
		return
	}
	r.failures(-spareTries)
	age := time.NewTimer(spareAge)
	defer age.Stop()
	select {
	case o.handed <- made:
		return
	case <-age.C:
	case <-ctx.Done():
	case <-made.client.Done():
		r.log.Info("a spare clone died; the next start makes its own", "error", made.client.Err())
	case <-made.vm.proc.done:
		r.log.Info("a spare clone died; the next start makes its own", "error", made.vm.complaint())
	}
	made.Close() // how it ends is our doing, or was said
}

func (r *reserve) failures(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = max(0, r.failed+more)
}

func (r *reserve) forget(o *order) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == o {
		r.next = nil
	}
}

// await returns when no spare is on its way; true: there is one.
func (r *reserve) await(ctx context.Context) (bool, error) {
	r.mu.Lock()
	o := r.next
	r.mu.Unlock()
	if o == nil {
		return false, nil
	}
	select {
	case <-o.ready:
	case <-ctx.Done():
		return false, fmt.Errorf("wait for a spare: %w", context.Cause(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next == o && o.made != nil, nil
}

// close ends the spare and waits for whatever makes one.
func (r *reserve) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.tasks.Wait()
}

// maxUnheard bounds what a spare says before it has a console. One that has more to
// say is no spare.
const maxUnheard = 64 << 10

// sink is the console of a clone whose own comes later.
type sink struct {
	mu   sync.Mutex
	to   runners.Console // nil: not there yet
	kept []byte
	over bool // more was said than is kept
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != nil {
		return s.to.Write(p)
	}
	if s.over = s.over || len(s.kept)+len(p) > maxUnheard; !s.over {
		s.kept = append(s.kept, p...)
	}
	return len(p), nil
}

// Crashes are what the console recognized.
func (s *sink) Crashes() []runners.Crash {
	if to := s.console(); to != nil {
		return to.Crashes()
	}
	return nil
}

// Tail is the end of what was said.
func (s *sink) Tail(n int) string {
	if to := s.console(); to != nil {
		return to.Tail(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.kept[max(0, len(s.kept)-n):])
}

func (s *sink) console() runners.Console {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to
}

// attach gives everything to a console, what was said so far first: of a kernel
// that warns of a thing once, this may be the warning.
func (s *sink) attach(to runners.Console) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Write(s.kept) // a console never fails
	s.to, s.kept = to, nil
}

// fit says what keeps a clone that was made ahead from being used: more was said than
// is kept, or a crash was reported. With the lowest priority a kernel may find that
// something stalled, which nobody could tell any more from a stall of its own; and
// what is the kernel's own, a clone made on demand shows too.
func (s *sink) fit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errors.New("it said more on its console than is kept")
	}
	log := console.New(console.Options{})
	log.Write(s.kept) // a console never fails
	if crashes := log.Crashes(); len(crashes) > 0 {
		return fmt.Errorf("its console says: %s", crashes[0].Title)
	}
	return nil
}
