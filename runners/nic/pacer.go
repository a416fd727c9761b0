package nic

import "time"

// pacer is a token bucket: burst frames at once, rate a second in the long run.
// It is pure but for what it remembers.
type pacer struct {
	rate, burst int
	full        time.Time     // when the bucket is full again; zero: it is
	held        time.Duration // for how long the sender has wanted more than the rate
	since       time.Time     // when that began
}

// graceStep is the shortest wait worth a timer: what is owed below it is owed on.
const graceStep = time.Millisecond

// next accounts for a frame at now and says how long its sender has to wait.
func (p *pacer) next(now time.Time) time.Duration {
	each := time.Second / time.Duration(p.rate)
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(each)
	over := p.full.Sub(now) - each*time.Duration(p.burst)
	if over < graceStep {
		// The bucket has room. After half a burst of it the sender has paused.
		if over < -each*time.Duration(p.burst)/2 {
			p.held, p.since = 0, time.Time{}
		}
		return 0
	}
	if p.since.IsZero() {
		p.since = now
	}
	p.held = now.Add(over).Sub(p.since)
	return over
}
