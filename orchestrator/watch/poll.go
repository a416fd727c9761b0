package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	maxBackOff = time.Hour     // between polls that fail
	maxHold    = 2 * time.Hour // that a server may have us wait; GitHub's limits last one
)

// Pace says how often a Poller asks. Now and Rand are for tests.
type Pace struct {
	Interval time.Duration    // between polls when all is well, at least 1 s
	Now      func() time.Time // nil: time.Now
	Rand     func() float64   // in [0,1); nil: math/rand's
}

// Poller asks an upstream cheaply whether its branch moved. It starts nothing by
// itself: its owner calls Changed when Next has passed. It is safe for concurrent
// use.
type Poller struct {
	upstream string
	pace     Pace
	look     look

	asking sync.Mutex // one question at a time

	mu       sync.Mutex
	saw      string    // the head that the owner has taken care of
	failures int       // in a row
	due      time.Time // of the next poll
	hold     time.Time // the server wants no question before
}

// look asks for the branch's head. now is the caller's clock.
type look func(ctx context.Context, now time.Time) (answer, error)

// answer is what a server said.
type answer struct {
	head string    // full hash
	hold time.Time // it wants no question before; zero: any time
}

func newPoller(upstream string, p Pace, l look) (*Poller, error) {
	if p.Interval < time.Second {
		return nil, fmt.Errorf("upstream %q: poll interval is %s, must be at least 1s", upstream, p.Interval)
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Rand == nil {
		p.Rand = rand.Float64
	}
	return &Poller{upstream: upstream, pace: p, look: l}, nil
}

// Saw tells the Poller that everything up to head is taken care of. Until then
// Changed goes on to report it, so that an update that failed is tried again.
func (p *Poller) Saw(head string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saw = head
}

// Changed asks for the branch's head and says whether it is another than the one
// that was Saw last. While the server wants to be left alone it is not asked, and
// an error says until when. Other errors are the network's, or say what is wrong
// with repository, branch or token.
func (p *Poller) Changed(ctx context.Context) (head string, changed bool, err error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	now := p.pace.Now()
	p.mu.Lock()
	hold := p.hold
	p.mu.Unlock()
	if now.Before(hold) {
		return "", false, fmt.Errorf("upstream %q: the server wants no question before %s", p.upstream, hold.UTC().Format(time.RFC3339))
	}
	a, err := p.look(ctx, now)
	if err != nil && ctx.Err() != nil {
		return "", false, fmt.Errorf("upstream %q: %w", p.upstream, context.Cause(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule(now, a, err)
	if err != nil {
		return "", false, fmt.Errorf("upstream %q: %w", p.upstream, err)
	}
	return a.head, a.head != p.saw, nil
}

// schedule sets when the next poll is due. p.mu is held.
func (p *Poller) schedule(now time.Time, a answer, err error) {
	if err == nil {
		p.failures = 0
	} else {
		p.failures++
	}
	p.due = now.Add(wait(p.pace.Interval, p.failures, p.pace.Rand()))
	p.hold = a.hold
	if latest := now.Add(maxHold); p.hold.After(latest) {
		p.hold = latest
	}
	if p.due.Before(p.hold) {
		p.due = p.hold
	}
}

// Next is how long to wait before the next poll; 0: now. The first is due at once.
func (p *Poller) Next() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.due.Sub(p.pace.Now()))
}

// wait is the time between a poll and the next: the interval, doubled with each
// failure in a row after the first, at most an hour or the interval. Failures add
// a jitter of ±25 %, so that many watchers of one server do not come back
// together. rnd is in [0,1).
func wait(interval time.Duration, failures int, rnd float64) time.Duration {
	if failures == 0 {
		return interval
	}
	d, most := interval, max(interval, maxBackOff)
	for range failures - 1 {
		if d *= 2; d >= most {
			d = most
			break
		}
	}
	return time.Duration(float64(d) * (0.75 + rnd/2))
}
