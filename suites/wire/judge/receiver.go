package judge

import (
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// receiver is the guest's receiving side of a stream.
type receiver struct {
	started  bool  // next is known
	got      spans // what came whole, behind next
	next     int64 // everything before it came, as the guest may know
	must     int64 // and as it must know
	mustGot  spans
	ack      int64 // the last that it acknowledged
	acks     int   // segments that it sent with an ACK
	saidAck  bool
	edge     int64 // the highest right edge that it advertised
	sacks    spans // what it SACKed, behind ack
	theirSYN bool
	owed     time.Duration // when the oldest byte came that must be acknowledged; 0: none
	full     int64         // the longest payload of the peer
	sparse   bool          // it was reported
	ooo      []owedAck     // segments out of order that want an ACK at once
	storm    storm
}

// owedAck is a moment after which an ACK must have been sent.
type owedAck struct {
	at   time.Duration
	acks int
}

// storm counts equal ACKs that answer nothing.
type storm struct {
	since   time.Duration
	replies int
	asked   int
	told    bool
	ack     int64
	seq     int64
	window  uint16
}

// asked takes note of a segment that wants an answer.
func (s *Stream) asked() { s.storm.asked++ }

// received plays data of the peer that the guest may know of.
func (s *Stream) received(x *seen, h *Heard) {
	if x.has(wire.RST) {
		s.asked() // out of order it wants a challenge ACK (RFC 5961)
		return
	}
	if h.End > h.Start || h.Start < s.next {
		s.asked()
	}
	if !s.started {
		s.next, s.must = h.Start, h.Start
		s.started = true
	}
	s.full = max(s.full, int64(len(x.seg.Payload)))
	s.works(x, s.got.add(max(h.Start, s.next), h.End, nil))
	if len(s.got) > 0 && s.got[0].Start <= s.next {
		s.next = max(s.next, s.got[0].End)
		s.got.cut(s.next)
	}
	if h.End > h.Start && h.Start > s.next && len(s.ooo) < 1024 && h.End <= s.edge && x.seg.Len() == len(x.seg.Payload) {
		s.ooo = append(s.ooo, owedAck{x.at, s.acks})
	}
}

// mustHave plays it when the guest must know of it, and judges what it still owes.
func (s *Stream) mustHave(x *seen, h *Heard) {
	came := x.at - s.a.profile.Reaction
	if x.has(wire.RST) {
		s.surelyReset(x, h)
		return
	}
	if !s.started || s.reset {
		return
	}
	fits := s.edge == 0 || h.End <= s.edge
	if fits {
		s.works(x, s.mustGot.add(max(h.Start, s.must), h.End, nil))
	}
	if len(s.mustGot) > 0 && s.mustGot[0].Start <= s.must {
		s.must = max(s.must, s.mustGot[0].End)
		s.mustGot.cut(s.must)
		if s.ack < s.must && s.saidAck && s.owed == 0 {
			s.owed = came
		}
	}
	s.judgeOwed(x, h, came)
}

// judgeOwed judges ACKs that should be on the wire.
func (s *Stream) judgeOwed(x *seen, h *Heard, came time.Duration) {
	p := &s.a.profile
	if s.owed > 0 && s.ack >= s.must {
		s.owed = 0
	}
	for len(s.ooo) > 0 && s.ooo[0].at <= came {
		o := s.ooo[0]
		s.ooo = s.ooo[1:]
		if o.at == came && s.acks == o.acks && h.Start > s.ack && s.established() {
			s.found(NoDupAck, x, h.Start, h.End, "data out of order is not answered within %s; it waits for %d", ms(p.Reaction), s.ack)
		}
	}
	if p.AckEvery > 0 && s.full > 0 && !s.sparse && s.established() && s.must-s.ack > int64(p.AckEvery+1)*s.full && s.must <= s.edge {
		s.sparse = true
		s.found(AckSparse, x, s.ack, s.must, "%d bytes in order wait for an ACK, %d full segments; there is one due for every %d", s.must-s.ack, (s.must-s.ack)/s.full, p.AckEvery+1)
	}
	s.judgeDelay(x, x.at)
}

// judgeDelay judges how long data in order waits for its ACK.
func (s *Stream) judgeDelay(x *seen, at time.Duration) {
	p := &s.a.profile
	if limit := p.DelayedAck + p.Reaction + p.LateSlack; p.DelayedAck > 0 && s.owed > 0 && at-s.owed > limit && s.ack < s.must && s.established() {
		s.found(AckLate, x, s.ack, s.must, "data in order is not acknowledged %s after it came; at most %s are allowed", ms(at-s.owed), ms(limit)).ifHeld(s.owed, at-s.owed-limit)
		s.owed = at
	}
}

// established says whether the guest has answered and lives.
func (s *Stream) established() bool { return s.saidAck && !s.reset && s.now.una >= 1 }

// judgeAck judges what a segment of the guest acknowledges and offers.
func (s *Stream) judgeAck(x *seen, rec *Sent) {
	if x.has(wire.SYN) {
		s.myScale = -1
		if o := &x.seg.Options; o.HasScale {
			s.myScale = int(min(o.Scale, 14))
		}
		s.mySACK, s.myTime = x.seg.Options.SACKPermitted, x.seg.Options.HasTime
	}
	if !x.has(wire.ACK) {
		return
	}
	s.judgeDelay(x, x.at)
	scale := 0
	if !x.has(wire.SYN) && s.peerScale >= 0 && s.myScale > 0 {
		scale = s.myScale
	}
	rec.Ack = s.theirs.off(x.seg.Ack)
	rec.Edge = rec.Ack + int64(x.seg.Window)<<scale
	switch {
	case !s.started:
		s.next, s.must, s.started = rec.Ack, rec.Ack, true
	case rec.Ack > s.next:
		s.found(AckAhead, x, s.next, rec.Ack, "acknowledges up to %d, and only what lies before %d was given to it", rec.Ack, s.next)
	case s.saidAck && rec.Ack < s.ack:
		s.found(AckBackward, x, rec.Ack, s.ack, "acknowledges up to %d, and did up to %d before", rec.Ack, s.ack)
	}
	s.judgeEdge(x, rec, scale)
	s.judgeSACK(x, rec)
	s.judgeStorm(x, rec)
	s.ack, s.saidAck = max(s.ack, rec.Ack), true
	s.acks++
	if s.ack >= s.must {
		s.owed = 0
	}
	s.sacks.cut(s.ack)
}

// judgeEdge judges the window: its right edge may only move on, but for what the
// scaling rounds off.
func (s *Stream) judgeEdge(x *seen, rec *Sent, scale int) {
	if s.saidAck && rec.Edge < s.edge-int64(1)<<scale+1 && s.theirs.syn {
		s.found(WindowShrunk, x, rec.Edge, s.edge, "the right edge of its window went back by %d to %d", s.edge-rec.Edge, rec.Edge)
		s.edge = rec.Edge
	}
	s.edge = max(s.edge, rec.Edge)
}

// judgeSACK judges the blocks: that the bytes came, and that it keeps them.
func (s *Stream) judgeSACK(x *seen, rec *Sent) {
	if i := s.sacks.at(rec.Ack); i < len(s.sacks) && s.sacks[i].Start <= rec.Ack && rec.Ack >= s.ack {
		s.found(SACKReneged, x, rec.Ack, s.sacks[i].End, "acknowledges up to %d, the middle of %d to %d, which it had SACKed", rec.Ack, s.sacks[i].Start, s.sacks[i].End)
		s.sacks.cut(s.sacks[i].End)
	}
	for i, b := range x.seg.Options.SACK() {
		block := Span{s.theirs.off(b.Start), s.theirs.off(b.End)}
		rec.SACK = append(rec.SACK, block)
		switch {
		case block.End <= block.Start:
			s.found(FalseSACK, x, block.Start, block.End, "a SACK block ends at %d, before it begins at %d", block.End, block.Start)
		case block.End <= rec.Ack: // of a duplicate (RFC 2883)
		case i == 0 && len(x.seg.Options.SACK()) > 1 && s.inside(block, x.seg.Options.SACK()[1]): // the same
		case block.Start < s.next && block.End <= s.next: // came meanwhile
		case !s.got.has(max(block.Start, s.next), block.End):
			s.found(FalseSACK, x, block.Start, block.End, "SACKs %d to %d, which was not all given to it", block.Start, block.End)
		default:
			s.works(x, s.sacks.add(block.Start, block.End, nil))
		}
	}
}

func (s *Stream) inside(b Span, other wire.Block) bool {
	return s.theirs.off(other.Start) <= b.Start && b.End <= s.theirs.off(other.End) && s.got.has(b.Start, b.End)
}

// judgeStorm looks for ACKs that say the same again and again, and answer nothing
// that takes sequence space.
func (s *Stream) judgeStorm(x *seen, rec *Sent) {
	st, limit := &s.storm, s.a.profile.AckLimit
	same := rec.End == rec.Start && rec.Ack == st.ack && rec.Start == st.seq && x.seg.Window == st.window
	if !same || x.at-st.since > time.Second {
		*st = storm{since: x.at, ack: rec.Ack, seq: rec.Start, window: x.seg.Window, told: st.told && same}
		return
	}
	st.replies++
	if limit > 0 && !st.told && st.replies > st.asked+limit {
		st.told = true
		s.found(AckStorm, x, rec.Ack, rec.Ack, "%d equal ACKs within %s, and %d segments that could have asked for one", st.replies, ms(x.at-st.since), st.asked)
	}
}
