package judge

import (
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// options are what both sides negotiated, time stamps, and resets.
type options struct {
	myScale          int // shift of the guest's windows; -1: it offered none
	mySACK, peerSACK bool
	myTime, peerTime bool
	echoes           echoes
	stamped          bool
	stamp            uint32 // the guest's last TSval
	reset            bool   // the stream is dead
	resetAt          time.Duration
	resetTold        bool
	acksHeard        [8]wire.Seq // of the newest segments: what a RST may have for its number
	ackCount         int
}

// echoes are the newest time stamps of the peer, which the guest may send back.
type echoes struct {
	values  []uint32
	dropped bool
}

const maxEchoes = 512

func (e *echoes) add(v uint32) {
	if n := len(e.values); n > 0 && e.values[n-1] == v {
		return
	}
	if len(e.values) >= maxEchoes {
		e.values, e.dropped = append(e.values[:0], e.values[maxEchoes/2:]...), true
	}
	e.values = append(e.values, v)
}

// judgeOptions judges time stamps, and that a dead stream is silent.
func (s *Stream) judgeOptions(x *seen) {
	if s.reset && !s.resetTold && x.at > s.resetAt {
		s.resetTold = true
		s.found(AfterReset, x, 0, 0, "sends %s %s after the stream was reset", x.seg.Flags, ms(x.at-s.resetAt))
	}
	o := &x.seg.Options
	if x.has(wire.SYN) && !x.has(wire.ACK) {
		s.stamped = false
	}
	if !o.HasTime {
		if s.myTime && s.peerTime && !x.has(wire.SYN) {
			s.found(TSMissing, x, 0, 0, "a segment without a time stamp, though both sides agreed on them")
		}
		return
	}
	if s.stamped && int32(o.TSVal-s.stamp) < 0 {
		s.found(TSBackward, x, 0, 0, "its time stamp went back by %d to %d", s.stamp-o.TSVal, o.TSVal)
	}
	s.stamped, s.stamp = true, o.TSVal
	if !x.has(wire.ACK) || o.TSEcr == 0 || len(s.echoes.values) == 0 {
		return
	}
	if v := s.echoes.values; !slices.Contains(v, o.TSEcr) && !(s.echoes.dropped && int32(o.TSEcr-v[0]) < 0) && s.theirs.syn {
		s.found(BadEcho, x, 0, 0, "echoes the time stamp %d, which the peer did not send; its newest is %d", o.TSEcr, v[len(v)-1])
	}
}

// surelyReset ends the stream when the reset had exactly the number that RFC 5961,
// section 3.2, wants, or answered a SYN.
func (s *Stream) surelyReset(x *seen, h *Heard) {
	exact := s.started && s.saidAck && h.Start == s.ack && s.ack == s.must && s.ack == s.next
	refused := x.has(wire.ACK) && !s.theirSYN && s.mine.syn && h.Ack == s.max
	if (exact || refused) && !s.reset {
		s.reset, s.resetAt = true, x.at
	}
}

// sentRST judges a reset of the guest. It has the number that the peer waits for:
// what the peer acknowledged, or the end of what was sent; or 0 with an ACK, for a
// segment that had none (RFC 9293, section 3.10.7.1).
func (s *Stream) sentRST(x *seen) {
	if !s.mine.known || !s.theirs.known {
		return
	}
	rec := s.record(x)
	if x.has(wire.ACK) {
		rec.Ack = s.theirs.off(x.seg.Ack)
		rec.Edge = rec.Ack
	}
	within := rec.Start >= min(s.sure.una, s.now.una) && rec.Start <= s.max+1
	if !within && !(x.has(wire.ACK) && x.seg.Seq == 0) && !slices.Contains(s.acksHeard[:min(s.ackCount, len(s.acksHeard))], x.seg.Seq) {
		s.found(BadRST, x, rec.Start, rec.Start, "a RST at %d, where the peer expects %d to %d: it must ignore it", rec.Start, s.now.una, s.max)
	}
	if !s.reset && within {
		s.reset, s.resetAt = true, x.at
	}
}
