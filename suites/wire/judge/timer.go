package judge

import (
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// timer is the guest's retransmission timer, as far as the wire shows it.
type timer struct {
	on      bool          // a timeout is not repaired yet
	at      time.Duration // when it last ran out
	recover int64         // behind what was outstanding then
	count   int           // times in a row, without progress
	gap     time.Duration // before the last of these
	genuine bool          // the wire had lost what timed out
	sent    int64         // bytes sent since then, what timed out included
	got     int64         // bytes delivered since
	samples int           // of the round-trip time by then
	blamed  bool
	closed  time.Duration // when a window last closed on outstanding bytes
	syns    int           // resent SYNs
	synGap  time.Duration
}

// estimate follows RFC 6298, with samples taken at the socket.
type estimate struct {
	samples     int // of data; a SYN's count for least and smooth only
	smooth, dev time.Duration
	least, last time.Duration
}

func (r *estimate) sample(d time.Duration, data bool) {
	if r.smooth == 0 {
		r.smooth, r.dev, r.least = d, d/2, d
	} else {
		r.dev += ((r.smooth - d).Abs() - r.dev) / 4
		r.smooth += (d - r.smooth) / 8
		r.least = min(r.least, d)
	}
	r.last = d
	if data {
		r.samples++
	}
}

// rto is the timeout that these samples give, without bounds.
func (r *estimate) rto() time.Duration { return r.smooth + 4*r.dev }

// tolerance of a moment that a timer of the guest chose.
func (s *Stream) tolerance() time.Duration { return 2*s.a.profile.Tick + 2*time.Millisecond }

// earliest is when a first timeout may come, counted from the last sign of life. By
// RFC 6298 it is never before the smoothed round-trip time; half of it leaves room
// for a stack that samples otherwise.
func (s *Stream) earliest() time.Duration {
	p := &s.a.profile
	return min(max(p.RTOMin, s.rtt.smooth/2)+p.RTOSlop-s.tolerance(), p.RTOMax)
}

// timedOut says whether p may be sent again because the timer ran out.
func (s *Stream) timedOut(at time.Duration, p *piece) bool {
	return at-max(s.sure.progress, p.last) >= s.earliest()
}

// latest is by when the timer must have run out.
func (s *Stream) latest(count int, gap time.Duration) time.Duration {
	p := &s.a.profile
	d := max(p.RTOMin, s.rtt.rto(), 3*s.rtt.last)
	if s.rtt.samples == 0 {
		d = max(d, p.RTOInitial)
	}
	switch {
	case count > 0:
		d = max(2*(gap-p.RTOSlop), p.RTOMin)
	case s.timer.gap > 0 && s.timer.samples == s.rtt.samples:
		// Karn: without a new sample the timer may stay as long as it was (RFC 6298, 5).
		d = max(d, 2*(s.timer.gap-p.RTOSlop))
	}
	return min(d+d/2, p.RTOMax+p.RTOMax/10) + p.RTOSlop + p.LateSlack + p.Reaction
}

// doubled is the least that may follow a gap of the timer, the count-th of its kind.
// The gap may itself have been late, for as long as a timer may be, so that short ones
// say little; of a timer that was least or more at first, that says the rest.
func (s *Stream) doubled(count int, gap, least time.Duration) time.Duration {
	p, tol := &s.a.profile, s.tolerance()
	gap = time.Duration(float64(gap-p.LateSlack) / (1 + p.TimerLate))
	next := 2 * (gap - p.RTOSlop - tol)
	if p.BackoffMax > 0 && count > p.BackoffMax {
		count, next = p.BackoffMax, next/2
	}
	next = max(next, least<<min(count, 16)) + p.RTOSlop
	return min(next, p.RTOMax) - tol
}

// least is the shortest time that the timer can have been set to for data, without
// slop and doubling: no average is below the shortest of its samples.
func (s *Stream) least() time.Duration {
	p := &s.a.profile
	return max(p.RTOMin, s.rtt.least-p.Tick)
}

// timeout judges a retransmission by the timer, of p.
func (s *Stream) timeout(x *seen, rec *Sent, p *piece) {
	t, prof := &s.timer, &s.a.profile
	gap := x.at - max(s.now.progress, p.last)
	if gap < 0 || p.start < s.now.una {
		gap = x.at - p.last // it crossed the ACK
	}
	// Probes and new data may have started the timer anew.
	if idle, latest := min(gap, x.at-s.newest), s.latest(t.count, t.gap); prof.RTOMax > 0 && idle > latest {
		s.found(LateRTO, x, rec.Start, rec.End, "the timer ran out after %s, and should have by %s", ms(idle), ms(latest)).ifHeld(x.at-idle, idle-latest)
	}
	if want := s.doubled(t.count, t.gap, s.least()); t.count > 0 && p.last >= t.at && prof.RTOMax > 0 && gap < want {
		s.found(NoBackoff, x, rec.Start, rec.End, "timeout %d came %s after the one before, which had taken %s: no doubling", t.count+1, ms(gap), ms(t.gap)).
			ifHeld(t.at-t.gap, (want-gap)/2)
	}
	t.sent, t.got, t.genuine, t.blamed = 0, 0, p.lost, false
	t.on, t.at, t.recover, t.gap, t.samples = true, x.at, max(s.max, t.recover), gap, s.rtt.samples
	t.count++
	if prof.Retries > 0 && t.count == prof.Retries+1 {
		s.found(TooManyRetries, x, rec.Start, rec.End, "sent for the %dth time again; it gives up after %d", t.count, prof.Retries)
	}
	s.recovery.on, s.recovery.end, s.recovery.due = false, s.max, 0
}

// judgeRestart bounds what may follow a genuine timeout: the window starts again
// with one segment, and grows by what is acknowledged.
func (s *Stream) judgeRestart(x *seen, rec *Sent) {
	t, n := &s.timer, int64(s.a.profile.RestartWindow)
	if !t.on || !t.genuine || t.blamed || n == 0 {
		return
	}
	if may := n*s.size() + 2*t.got; t.sent > may {
		t.blamed = true
		s.found(BurstAfterRTO, x, rec.Start, rec.End, "%d bytes sent within %s of a timeout, with %d delivered: slow start allows %d", t.sent, ms(x.at-t.at), t.got, may)
	}
}

// whySYN judges a SYN or SYN|ACK that is sent again.
func (s *Stream) whySYN(x *seen, p *piece) Reason {
	t, prof := &s.timer, &s.a.profile
	reason, retries := SYN, prof.SYNRetries
	if x.has(wire.ACK) {
		reason, retries = SYNACK, prof.SYNACKRetries
		if s.synHeard >= p.last {
			return reason // an answer, not the timer
		}
	}
	gap := x.at - p.last
	low, high := prof.RTOInitial-s.tolerance(), prof.RTOInitial+prof.RTOInitial/2+prof.RTOSlop+prof.LateSlack
	if t.syns > 0 {
		low, high = s.doubled(t.syns, t.synGap, prof.RTOInitial-prof.RTOSlop), min(3*t.synGap, prof.RTOMax+prof.RTOMax/10)+prof.RTOSlop+prof.LateSlack
	}
	switch {
	case prof.RTOInitial == 0:
	case gap < low && t.syns > 0:
		s.found(NoBackoff, x, p.start, p.end, "%s sent again after %s, and %s before: no doubling", reason, ms(gap), ms(t.synGap)).
			ifHeld(p.last-t.synGap, (low-gap)/2)
	case gap < low:
		s.found(EarlyRTO, x, p.start, p.end, "%s sent again after %s, before %s", reason, ms(gap), ms(low))
	case gap > high:
		s.found(LateRTO, x, p.start, p.end, "%s sent again after %s, later than %s", reason, ms(gap), ms(high)).ifHeld(p.last, gap-high)
	}
	t.syns, t.synGap = t.syns+1, gap
	if retries > 0 && t.syns == retries+1 {
		s.found(TooManyRetries, x, p.start, p.end, "%s sent again for the %dth time; it gives up after %d", reason, t.syns, retries)
	}
	return reason
}

// finish judges what never came.
func (s *Stream) finish(end time.Duration) {
	s.Stats.RTO, s.Stats.SRTT = s.rtt.rto(), s.rtt.smooth
	if s.stopped || !s.mine.known {
		return
	}
	x := &seen{step: step{at: end}}
	if n := len(s.Sent); n > 0 {
		x.n = s.Sent[n-1].Event
	}
	if s.reset || len(s.out) == 0 || s.now.una >= s.max || s.now.closed(s.now.una) || s.a.profile.RTOMax == 0 {
		return
	}
	s.overdue(x)
	i := s.out.at(s.now.una)
	if i == len(s.out) {
		return
	}
	p := s.out[i]
	limit, count := s.latest(s.timer.count, s.timer.gap), s.timer.count
	retries := s.a.profile.Retries
	if p.start == 0 && s.mine.syn {
		limit, count, retries = s.latest(s.timer.syns, s.timer.synGap), s.timer.syns, s.a.profile.SYNRetries
		if s.theirs.syn {
			retries = s.a.profile.SYNACKRetries
		}
	}
	if gap := end - max(s.now.progress, p.last, s.newest); gap > limit && count < retries {
		s.found(LateRTO, x, p.start, p.end, "never sent again: %s have passed, and the timer should have run out by %s", ms(gap), ms(limit)).ifHeld(end-gap, gap-limit)
	}
}
