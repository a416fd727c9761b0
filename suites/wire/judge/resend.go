package judge

import (
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// again judges bytes that the guest had sent before.
func (s *Stream) again(x *seen, rec *Sent) {
	start, end := rec.Start, min(rec.End, s.max)
	rec.Again = end - start
	switch {
	case start < s.mine0() && !s.mine.syn:
		rec.Reason = BeforeTrace
	case end-start <= 1 && rec.End == end && !x.has(wire.SYN) && !x.has(wire.FIN) && (start == s.now.una-1 || start == s.sure.una-1) && start >= 1:
		rec.Reason = Keepalive
	case end <= s.sure.una:
		rec.Reason = Needless
		s.found(AckedResent, x, start, end, "sent again, though the peer acknowledged up to %d", s.sure.una)
	default:
		s.resend(x, rec, max(start, s.sure.una), end)
	}
	s.Stats.Resends[rec.Reason]++
	s.Stats.ResentBytes[rec.Reason] += rec.Again
	if s.a.expect.NoResend && rec.Reason > Needless && !rec.Reason.mayBeNoLoss() {
		s.found(NeedlessResend, x, start, end, "sent again (%s), and nothing on the wire was lost or late", rec.Reason)
	}
}

// mine0 is the first offset that was seen of a stream whose beginning was not.
func (s *Stream) mine0() int64 { return 1 }

// resend judges the sending of [start, end) again, of which not all is acknowledged.
func (s *Stream) resend(x *seen, rec *Sent, start, end int64) {
	part, moved := s.out.between(start, end)
	s.works(x, moved)
	if len(part) == 0 {
		rec.Reason = BeforeTrace
		return
	}
	first, sacked := &part[0], int64(-1)
	for i := range part {
		if s.sure.sacked.has(part[i].start, part[i].end) {
			if sacked < 0 {
				sacked = part[i].start
			}
			if first == &part[i] && i+1 < len(part) {
				first = &part[i+1]
			}
		}
	}
	rec.Reason = s.why(x, rec, first, end)
	afterTimeout := rec.Reason == RTO || rec.Reason == GoBackN
	if sacked >= 0 && !afterTimeout && !rec.Reason.mayBeNoLoss() {
		s.found(SackedResent, x, max(sacked, start), end, "sent again without a timeout, though the peer has it by SACK from %d", sacked)
		if rec.Reason == Needless {
			rec.Reason = reasonAfterFinding
		}
	}
	switch {
	case rec.Reason == reasonAfterFinding:
		rec.Reason = Needless
	case rec.Reason == Needless:
		s.accuse(x, first, start, end)
	case !first.lost && !rec.Reason.mayBeNoLoss():
		s.Stats.Spurious++
	}
	s.note(x, rec, first, end)
	for i := range part {
		p := &part[i]
		p.sends++
		p.last, p.lost, p.anyLost = x.at, rec.Lost, p.anyLost || rec.Lost
	}
	s.newest = x.at
	s.timer.sent += end - start
	s.judgeRestart(x, rec)
}

// reasonAfterFinding marks, inside resend, what was reported already.
const reasonAfterFinding = reasonEnd

// accuse names what is wrong with a resend that nothing allowed, by what the wire
// had done to the copy before.
func (s *Stream) accuse(x *seen, p *piece, start, end int64) {
	gap := x.at - p.last
	switch {
	case p.lost && s.a.profile.RTOMin > 0:
		s.found(EarlyRTO, x, start, end, "sent again after %s, when %d duplicate ACKs and no timeout before %s could say that it was lost",
			ms(gap), s.now.dups, ms(s.earliest()))
	case p.sends > 1:
		s.found(ResentTwice, x, start, end, "sent for the %s time %s after the last, which the wire did not lose", ordinal(p.sends+1), ms(gap))
	default:
		s.found(NeedlessResend, x, start, end, "sent again after %s; the wire had not lost it, and neither ACKs nor a timeout said so", ms(gap))
	}
}

func ordinal(n int) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return "umpteenth"
}

// why finds what allows p, and what follows it up to end, to be sent again.
func (s *Stream) why(x *seen, rec *Sent, p *piece, end int64) Reason {
	v := &s.now
	if p.start < v.una {
		v = &s.sure // it crossed the ACK
	}
	oldest := p.start <= v.una
	switch {
	case x.has(wire.SYN):
		return s.whySYN(x, p)
	case s.tooBigAt > 0 && s.tooBigAt >= p.last:
		return PathMTU
	case v.closed(p.start) && end-p.start <= 1:
		s.probe(x, rec)
		return Persist
	case s.now.zero > p.last || s.timer.closed > p.last || s.probedAt > 0 && s.probedAt >= p.last:
		return Persist // a closed window takes back what was sent into it
	case s.slowStarts(x.at, p):
		return GoBackN
	case oldest && s.timedOut(x.at, p):
		return RTO
	case s.restarted() && p.start < s.timer.recover && p.last < s.timer.at:
		return GoBackN
	case s.isLost(v, p, oldest):
		if s.recovery.on {
			return SACKHole
		}
		return FastRetransmit
	case s.recovery.on && oldest && v.progress >= s.recovery.at && p.last <= s.recovery.at && p.start < s.recovery.end:
		return PartialACK
	case s.recovery.on && s.a.profile.Rescue && !s.recovery.rescued && end >= s.max-1 && len(v.sacked) == 0:
		return Rescue
	case s.a.profile.TLP && end >= s.max-1 && x.at-max(s.newest, v.progress) >= max(s.a.profile.TLPMin, s.rtt.least):
		return TLP
	case s.a.profile.RepeatsFIN && x.has(wire.FIN) && len(x.seg.Payload) == 0:
		return FIN
	}
	return Needless
}

// restarted says whether the guest may think that a timeout is not repaired yet: the last
// ACKs that it needs may have crossed what it sends.
func (s *Stream) restarted() bool { return s.timer.on || s.sure.una < s.timer.recover }

// slowStarts says whether p was outstanding when the timer ran out, and goes now because
// an ACK came since: that has started the timer anew, so it cannot be that.
func (s *Stream) slowStarts(at time.Duration, p *piece) bool {
	t := &s.timer
	return s.restarted() && p.start < t.recover && p.last < t.at && s.now.progress > t.at && at-s.now.progress < s.earliest()
}

// isLost says whether ACKs may be taken to say that p is lost.
func (s *Stream) isLost(v *view, p *piece, oldest bool) bool {
	thresh := s.a.profile.DupThresh
	if thresh == 0 {
		thresh = 3
	}
	later := s.delivered > p.last // something sent after it has come
	if p.sends > 1 && !later && (len(v.sacked) > 0 || v.firstDup < p.last) {
		return false // it was sent again, and nothing is known of that copy
	}
	if oldest && v.dups >= thresh {
		return true
	}
	bytes, ranges := v.sacked.above(p.end, thresh)
	switch {
	case ranges == 0:
		return s.a.profile.RACK && later // RFC 8985, 6.2: an ACK of what was sent later is enough
	case ranges >= thresh || bytes > int64(thresh-1)*s.size():
		return true
	case s.recovery.on && p.start < s.recovery.end:
		return true // rule 3 of NextSeg
	}
	// RACK waits at most a quarter of the round-trip time for what was reordered.
	return s.a.profile.RACK && later
}

// note keeps what follows from a resend.
func (s *Stream) note(x *seen, rec *Sent, p *piece, end int64) {
	switch rec.Reason {
	case FastRetransmit:
		s.recovery = recovery{on: true, at: x.at, end: s.max, told: s.recovery.told}
	case Rescue:
		s.recovery.rescued = true
	case RTO:
		s.timeout(x, rec, p)
	}
	if p.start <= s.now.una {
		s.recovery.due = 0
	}
}

// overdue judges a fast retransmission that has not come.
func (s *Stream) overdue(x *seen) {
	if r := &s.recovery; r.due > 0 && x.at > r.due {
		due := r.due
		r.due = 0
		if r.told != s.now.una {
			r.told = s.now.una
			s.found(NoFastRetransmit, x, s.now.una, min(s.now.una+s.size(), s.max), "%d duplicate ACKs from %s on, and it is not sent again %s later; the wire had lost it",
				s.now.dups, s.now.firstDup.Round(time.Microsecond), ms(x.at-s.now.firstDup)).ifHeld(s.now.firstDup, x.at-due)
		}
	}
}
