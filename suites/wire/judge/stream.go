package judge

import (
	"fmt"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// space is a sequence space and how it is counted. Its ISN is offset 0.
type space struct {
	known, syn bool // syn: its beginning was seen
	isn        wire.Seq
	top        int64 // the highest offset so far: numbers are taken for those next to it
}

func (sp *space) start(seq wire.Seq, syn bool) {
	sp.known, sp.syn, sp.isn, sp.top = true, syn, seq, 1
	if syn {
		sp.top = 0
	} else {
		sp.isn--
	}
}

// off is the offset of a sequence number, which lies less than 2³¹ from the top.
func (sp *space) off(seq wire.Seq) int64 {
	return sp.top + int64(int32(uint32(seq)-uint32(sp.isn)-uint32(sp.top)))
}

// Sent is a segment of the guest.
type Sent struct {
	Event      int64 // Event.N
	At         time.Duration
	Arrived    time.Duration // when a whole copy first reached the peer, unless Lost
	Lost       bool
	Flags      wire.Flags
	Start, End int64 // in the guest's space; equal for a mere ACK
	Again      int64 // bytes of these that it had sent before
	Reason     Reason
	Ack, Edge  int64  // in the peer's space: what it acknowledged and up to where it may send
	SACK       []Span // in the peer's space
}

// Heard is a segment that the guest got, or, when Lost, would have got.
type Heard struct {
	Event      int64
	Left, At   time.Duration // when the peer sent it, and when the guest got it
	Lost       bool
	Flags      wire.Flags
	Start, End int64 // in the peer's space
	Ack, Edge  int64 // in the guest's
	SACK       []Span
}

// Stream is one connection: a 4-tuple from its SYN to the next one.
type Stream struct {
	N     int // from 1
	Flow  wire.Flow
	Sent  []Sent
	Heard []Heard
	Stats Stats

	a            *Analysis
	born         time.Duration
	stopped      bool  // too much: no longer followed
	pending      *seen // a peer's SYN that is none of this stream
	mine, theirs space
	sender
	receiver
	options
}

// Stats are numbers of a stream.
type Stats struct {
	Segments, DataSegments int
	Bytes                  int64            // of the sequence space that were sent at least once
	Resends                [reasonEnd]int   // segments that held bytes sent before, by reason
	ResentBytes            [reasonEnd]int64 // and how many bytes
	Lost                   int              // segments with bytes that the wire lost
	Spurious               int              // resends of what was not lost, though they were allowed
	DupAcks                int              // that the guest heard
	MaxFlight              int64            // bytes sent and neither acknowledged nor SACKed: at most its congestion window
	RTTs                   int              // samples by Karn's rule, at the socket
	MinRTT, MaxRTT, SRTT   time.Duration
	RTO                    time.Duration // by RFC 6298 from these, before the profile's bounds
}

// Resent is the number of segments that held bytes sent before.
func (st *Stats) Resent() (n int) {
	for _, c := range st.Resends {
		n += c
	}
	return n
}

// stream finds the incarnation that a segment belongs to, or nil.
func (a *Analysis) stream(x *seen, flow wire.Flow) *Stream {
	s := a.flows[flow]
	switch {
	case s == nil:
		if x.kind == sure {
			return nil
		}
		return a.open(x, flow)
	case x.kind == sure && x.at-a.profile.Reaction < s.born:
		return nil // meant for the incarnation before
	case x.kind == spoke && s.renewedBy(x):
		pending := s.pending
		if pending != nil && !(x.has(wire.ACK) && x.seg.Ack == pending.seg.Seq+1) {
			pending = nil
		}
		if s = a.open(x, flow); s != nil && pending != nil {
			s.born = pending.at
			s.take(pending)
		}
		return s
	case x.kind == heard && s.foreignSYN(x):
		s.pending = &seen{step: x.step, e: x.e, n: x.n, whole: x.whole, p: new(wire.Packet)}
		*s.pending.p = *x.p
		s.pending.seg = &s.pending.p.TCP
	}
	return s
}

// renewedBy says whether what the guest sends begins another incarnation.
func (s *Stream) renewedBy(x *seen) bool {
	answers := s.pending != nil && x.has(wire.ACK) && x.seg.Ack == s.pending.seg.Seq+1
	switch {
	case x.has(wire.RST):
		return answers
	case !x.has(wire.SYN):
		return false
	case !s.mine.known: // the SYN before was not answered
		return answers
	case s.mine.syn && x.seg.Seq == s.mine.isn:
		return false
	}
	return answers || s.mine.syn || !x.has(wire.ACK)
}

// foreignSYN says whether a peer's SYN belongs to no SYN of this stream.
func (s *Stream) foreignSYN(x *seen) bool {
	return x.has(wire.SYN) && s.theirs.known && !(s.theirs.syn && x.seg.Seq == s.theirs.isn)
}

func (a *Analysis) open(x *seen, flow wire.Flow) *Stream {
	if a.expect.Follow != nil && !a.expect.Follow(flow) {
		return nil
	}
	if len(a.Streams) >= maxStreams {
		if len(a.Streams) == maxStreams && !slices.Contains(a.expect.Off, TooMuch) {
			a.report(&Finding{Code: TooMuch, Flow: flow, At: x.at, Event: x.n, Text: fmt.Sprintf("more than %d streams: the others are not followed", maxStreams)})
			a.Streams = append(a.Streams, &Stream{N: len(a.Streams) + 1, Flow: flow, a: a, stopped: true})
		}
		delete(a.flows, flow)
		return nil
	}
	s := &Stream{N: len(a.Streams) + 1, Flow: flow, a: a, born: x.at}
	s.peerScale = -1
	a.Streams = append(a.Streams, s)
	a.flows[flow] = s
	return s
}

// take plays one moment.
func (s *Stream) take(x *seen) {
	seg := x.seg
	if x.kind == spoke {
		if x.has(wire.RST) {
			s.sentRST(x)
			return
		}
		if !s.mine.known {
			s.mine.start(seg.Seq, x.has(wire.SYN))
			s.opened()
		}
		if x.has(wire.ACK) && !s.theirs.known {
			s.theirs.start(seg.Ack, false)
		}
		s.send(x)
		return
	}
	if s.foreignSYN(x) {
		if x.kind == heard {
			s.asked()
		}
		return
	}
	if !s.theirs.known {
		s.theirs.start(seg.Seq, x.has(wire.SYN))
	}
	if x.has(wire.ACK) && !s.mine.known {
		s.mine.start(seg.Ack, false)
		s.opened()
	}
	s.hear(x)
}

// found reports something of this stream, about the bytes [start, end).
func (s *Stream) found(code Code, x *seen, start, end int64, format string, args ...any) *Finding {
	f := &Finding{Code: code, Stream: s.N, Flow: s.Flow, At: x.at, Event: x.n, Start: start, End: end, Text: fmt.Sprintf(format, args...)}
	if slices.Contains(s.a.expect.Off, code) {
		return f
	}
	return s.a.report(f)
}

// works counts entries that were moved, and gives the stream up when a trace
// costs more than its length allows.
func (s *Stream) works(x *seen, moved int) {
	s.a.work -= moved
	if s.stopped || s.a.work > 0 && len(s.out) <= maxPieces && len(s.got) <= maxSpans &&
		len(s.now.sacked) <= maxSpans && len(s.sacks) <= maxSpans {
		return
	}
	s.stopped = true
	s.found(TooMuch, x, 0, 0, "too many pieces to follow: %d outstanding, %d received out of order", len(s.out), len(s.got))
}

// ms writes a duration as people read it beside a trace.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
