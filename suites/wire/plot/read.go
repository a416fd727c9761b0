package plot

import (
	"cmp"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// reader takes a trace apart into pictures.
type reader struct {
	trace    *wire.Trace
	judged   bool
	sent     map[int64]*judge.Sent // by Event.N
	findings map[int64][]*judge.Finding
	streams  wire.Streams
	conns    []*conn
	packet   wire.Packet
	scratch  []byte
}

// conn is a stream with its two sides, by FromGuest and ToGuest.
type conn struct{ sides [2]side }

// side is what one end sends.
type side struct {
	known bool
	base  wire.Seq // of byte 0
	top   int64    // behind the highest byte
	syn   *wire.Options
	pic   *Picture
	// How long frames were under way, in the order in which they were sent.
	trips []trip
}

type trip struct {
	event    int32
	from, to int64
	data     bool // they lie in this side's own space, else in the other's
	at, took time.Duration
}

func newReader(t *wire.Trace, a *judge.Analysis) *reader {
	r := &reader{trace: t, judged: a != nil, sent: map[int64]*judge.Sent{}, findings: map[int64][]*judge.Finding{}}
	if a == nil {
		return r
	}
	for _, s := range a.Streams {
		for i := range s.Sent {
			r.sent[s.Sent[i].Event] = &s.Sent[i]
		}
	}
	for i := range a.Findings {
		f := &a.Findings[i]
		r.findings[f.Event] = append(r.findings[f.Event], f)
	}
	return r
}

// maxFrame is the longest frame that is believed when a trace holds only its beginning.
const maxFrame = 14 + 40 + 65535

// decode reads a frame; what was cut off at the snap length is taken for zeros.
func (r *reader) decode(frame []byte, length int) *wire.Packet {
	if length > len(frame) && length <= maxFrame {
		r.scratch = append(append(r.scratch[:0], frame...), make([]byte, length-len(frame))...)
		frame = r.scratch
	}
	r.packet.Decode(frame)
	return &r.packet
}

// event takes one frame in.
func (r *reader) event(i int) {
	e := &r.trace.Events[i]
	p := r.decode(e.Frame, e.Length)
	if !p.IsTCP || p.Malformed != "" {
		return
	}
	place := r.streams.See(e.NIC, e.Dir, p)
	if place.Stream == 0 || place.Stream > maxStreams {
		return
	}
	c := r.conn(place.Stream, e, p)
	mine, theirs := &c.sides[e.Dir-wire.FromGuest], &c.sides[wire.ToGuest-e.Dir]
	seg := &p.TCP
	from, to := place.From, place.To
	switch {
	case seg.Flags.Has(wire.RST):
		if !mine.known {
			return
		}
		from = mine.off(seg.Seq)
		to = from
		mine.pic.labels = append(mine.pic.labels, label{moment(e), from, "RST"})
	case from == to && seg.Len() > 0:
		return // farther than any window: none of this stream's
	case !mine.known:
		mine.known, mine.base = true, seg.Seq-wire.Seq(uint32(from))
	}
	mine.top = max(mine.top, to)
	if seg.Flags.Has(wire.SYN) {
		o := seg.Options
		mine.syn = &o
	}
	if own := from < to || seg.Flags.Has(wire.RST); own {
		r.segment(i, mine.pic, seg, from, to, place.Transmissions(wire.Range{}))
		mine.notable(i, e, from, to, true)
		r.find(i, mine.pic, from, to)
	} else if seg.Flags.Has(wire.ACK) && theirs.known {
		at := theirs.off(seg.Ack)
		mine.notable(i, e, at, at, false)
		r.find(i, theirs.pic, at, at)
	}
	if seg.Flags.Has(wire.ACK) && theirs.known {
		c.acked(e, seg)
	}
}

// conn is the stream of a number; they come in order.
func (r *reader) conn(number int, e *wire.Event, p *wire.Packet) *conn {
	if number <= len(r.conns) {
		return r.conns[number-1]
	}
	c := &conn{}
	for i := range c.sides {
		c.sides[i].pic = &Picture{Stream: number, NIC: e.NIC, Dir: wire.FromGuest + wire.Direction(i), Flow: p.Flow(e.Dir),
			trace: r.trace, judged: r.judged, reasons: map[string]int{}}
	}
	r.conns = append(r.conns, c)
	return c
}

// off is where a number lies, next to the highest.
func (s *side) off(seq wire.Seq) int64 {
	return s.top + int64(int32(uint32(seq)-uint32(s.base)-uint32(s.top)))
}

// moment is when the guest sent or got a frame; of one that it did not get, when that was
// sent.
func moment(e *wire.Event) time.Duration {
	if e.Dir == wire.ToGuest && len(e.Passed) > 0 {
		return first(e)
	}
	return e.At
}

// first is when the first copy arrived.
func first(e *wire.Event) time.Duration {
	at := e.Passed[0].At
	for _, p := range e.Passed[1:] {
		at = min(at, p.At)
	}
	return at
}

// segment takes in one with sequence space of its own.
func (r *reader) segment(i int, p *Picture, seg *wire.Segment, from, to int64, sends int) {
	e := &r.trace.Events[i]
	s := segment{at: moment(e), from: from, to: to, event: int32(i), sends: int32(sends)}
	if from < to {
		if rec := r.sent[e.N]; rec != nil && e.Dir == wire.FromGuest {
			switch {
			case rec.Again == 0:
				s.sends = 1
			case s.sends < 2:
				s.sends = 2
			}
			s.reason = rec.Reason
		}
		p.segs = append(p.segs, s)
		p.Segments++
		p.Bytes = max(p.Bytes, to)
		if s.sends > 1 {
			p.Resent++
			p.reasons[p.reason(&s)]++
		}
	}
	for _, f := range []wire.Flags{wire.SYN, wire.FIN} {
		if seg.Flags.Has(f) {
			p.labels = append(p.labels, label{s.at, to, f.String()})
		}
	}
}

// reason is why a segment was sent again.
func (p *Picture) reason(s *segment) string {
	switch {
	case p.Dir == wire.ToGuest:
		return "by the peer"
	case !p.judged || s.reason == 0:
		return "reason not known"
	}
	return s.reason.String()
}

// notable marks what the wire did to a frame. Its place is in the sender's own space, or
// in the other's, which it acknowledges.
func (s *side) notable(i int, e *wire.Event, from, to int64, own bool) {
	t := trip{event: int32(i), from: from, to: to, data: own, at: e.At, took: -1}
	if len(e.Passed) > 0 {
		t.took = first(e) - e.At
	}
	s.trips = append(s.trips, t)
}

// find marks the findings about an event.
func (r *reader) find(i int, p *Picture, from, to int64) {
	for _, f := range r.findings[r.trace.Events[i].N] {
		p.marks = append(p.marks, mark{kind: markFinding, at: f.At, from: from, to: to, event: int32(i), finding: f})
		p.Findings++
	}
}

// scale is that of a side's windows, negative when it is not known (RFC 7323, section
// 2.2: only if both have said one).
func (c *conn) scale(i int) int {
	mine, theirs := c.sides[i].syn, c.sides[1-i].syn
	switch {
	case mine == nil && theirs == nil:
		return -1
	case mine != nil && !mine.HasScale, theirs != nil && !theirs.HasScale:
		return 0
	case mine == nil || theirs == nil:
		return -1
	}
	return min(int(mine.Scale), 14)
}

// acked takes an acknowledgement in. What the guest did not get, or could not take for
// one, is none.
func (c *conn) acked(e *wire.Event, seg *wire.Segment) {
	from := int(e.Dir - wire.FromGuest)
	theirs := &c.sides[1-from]
	a := ack{ack: theirs.off(seg.Ack), pure: seg.Len() == 0}
	scale := max(0, c.scale(from))
	if seg.Flags.Has(wire.SYN) {
		scale = 0
	}
	a.edge = a.ack + int64(seg.Window)<<scale
	times := []time.Duration{e.At}
	if e.Dir == wire.ToGuest {
		times = times[:0]
		for _, p := range e.Passed {
			if p.Frame == nil {
				times = append(times, p.At)
			}
		}
	}
	for _, at := range times {
		a.at = at
		theirs.pic.acks = append(theirs.pic.acks, a)
		for _, b := range seg.Options.SACK() {
			if from, to := theirs.off(b.Start), theirs.off(b.End); from < to {
				theirs.pic.sacks = append(theirs.pic.sacks, block{at, from, to})
			}
		}
	}
}

// finish puts in order what came in the order of sending.
func (p *Picture) finish() {
	slices.SortStableFunc(p.acks, func(a, b ack) int { return cmp.Compare(a.at, b.at) })
	slices.SortStableFunc(p.labels, func(a, b label) int { return cmp.Compare(a.at, b.at) })
	slices.SortStableFunc(p.marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	for _, m := range p.marks {
		if m.kind == markDropped {
			p.Dropped++
		}
	}
}
