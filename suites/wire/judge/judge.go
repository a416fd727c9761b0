// Package judge reads the trace of a cable and says what the guest's TCP did on it,
// and what of it no TCP may do. It rests on what a sender and a receiver owe by the
// RFCs, never on a recording of what one kernel did: numbers that differ by stack
// are a [Profile], each with its source, and what a case knows of its own traffic
// is an [Expect].
//
// The cable sees a segment when it crosses the socket, not when the guest sends it
// or takes it in. So everything that the guest heard is played twice: once at once,
// and once after Profile.Reaction. What the guest does is allowed when either
// state of knowledge allows it, and owed only when the later one asks for it.
//
// All positions are offsets in the sequence space of a stream: the SYN is 0, the
// first byte of data is 1, and nothing wraps. A stream that was already open when
// the trace began starts with offset 1 at the first byte seen.
package judge

import (
	"cmp"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// Limits of an analysis. What a guest can send without end must not take the
// host's memory or time: a stream that goes beyond is no longer followed and has
// the finding TooMuch.
const (
	maxStreams  = 1 << 16
	maxPieces   = 1 << 16 // outstanding ranges that were sent differently, per stream
	maxSpans    = 1 << 14 // ranges of received bytes with holes between them
	maxFindings = 1000    // per analysis; the rest is counted
	workPerStep = 2000    // entries of these lists that may be moved, on average
)

// Analysis is what a trace says, by stream.
type Analysis struct {
	Streams []*Stream // by the order in which they appeared
	// Findings by time. At most 1000 are kept; Omitted counts the others.
	Findings []Finding
	Omitted  int
	// BadSums is how many TCP segments with a wrong checksum the guest was given.
	BadSums int
	End     time.Duration // of the trace

	profile Profile
	expect  Expect
	flows   map[wire.Flow]*Stream
	work    int // what may still be moved
	packet  wire.Packet
	scratch []byte
}

// Check analyses a trace and returns what is wrong with it; nil: nothing.
func Check(trace []wire.Event, p Profile, x Expect) []Finding {
	return Analyze(trace, p, x).Findings
}

// Analyze reads a trace. It never fails: frames that are not TCP are skipped, and
// what cannot be understood is a finding.
func Analyze(trace []wire.Event, p Profile, x Expect) *Analysis {
	a := &Analysis{profile: p, expect: x, flows: map[wire.Flow]*Stream{}}
	steps := a.steps(trace)
	a.work = workPerStep*len(steps) + 1<<20
	for i := range steps {
		a.step(&trace[steps[i].event], &steps[i])
	}
	a.End = max(a.End, x.Until)
	for _, s := range a.Streams {
		s.finish(a.End)
	}
	slices.SortStableFunc(a.Findings, func(f, g Finding) int { return cmp.Compare(f.At, g.At) })
	return a
}

// kind of a step. The zero value is invalid.
type kind uint8

const (
	_      kind = iota
	heard       // the guest may know it from now on
	sure        // the guest must know it by now
	missed      // the wire dropped what the peer sent
	spoke       // the guest sent it
)

// step is one moment of a trace.
type step struct {
	at    time.Duration
	event int32
	copy  int32 // which of Passed
	kind  kind
}

// steps puts what happened in the order in which the guest could know of it.
func (a *Analysis) steps(trace []wire.Event) []step {
	steps := make([]step, 0, 2*len(trace))
	for i := range trace {
		e := &trace[i]
		a.End = max(a.End, e.At)
		switch {
		case a.expect.NIC != nil && *a.expect.NIC != e.NIC:
		case e.Dir == wire.FromGuest:
			steps = append(steps, step{at: e.At, event: int32(i), kind: spoke})
		case e.Dir == wire.ToGuest && e.Dropped():
			steps = append(steps, step{at: e.At, event: int32(i), kind: missed})
		case e.Dir == wire.ToGuest:
			for c, p := range e.Passed {
				a.End = max(a.End, p.At)
				steps = append(steps, step{at: p.At, event: int32(i), copy: int32(c), kind: heard},
					step{at: p.At + a.profile.Reaction, event: int32(i), copy: int32(c), kind: sure})
			}
		}
	}
	slices.SortStableFunc(steps, func(x, y step) int {
		return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.kind, y.kind))
	})
	return steps
}

// maxFrame is the longest frame that is believed when a trace holds only its
// beginning: IPv6 and IPv4 cannot say more, but for jumbograms.
const maxFrame = 14 + 40 + 65535

// decode reads a frame into a.packet. Of one that was cut at the snap length the
// rest is taken for zeros, and whole is false: its bytes and sums say nothing.
func (a *Analysis) decode(frame []byte, length int) (p *wire.Packet, whole bool) {
	if length > len(frame) && length <= maxFrame {
		a.scratch = append(a.scratch[:0], frame...)
		a.scratch = append(a.scratch, make([]byte, length-len(frame))...)
		frame = a.scratch
	} else {
		whole = true
	}
	a.packet.Decode(frame)
	return &a.packet, whole
}

func (a *Analysis) step(e *wire.Event, st *step) {
	frame, length := e.Frame, e.Length
	if st.kind == heard || st.kind == sure {
		frame = e.As(e.Passed[st.copy])
		if e.Passed[st.copy].Frame != nil {
			length = len(frame)
		}
	}
	p, whole := a.decode(frame, length)
	if !p.IsTCP {
		if st.kind == heard {
			a.tooBig(p, st.at)
		}
		return
	}
	x := &seen{step: *st, e: e, p: p, seg: &p.TCP, whole: whole, n: e.N}
	flow := p.Flow(e.Dir)
	if st.kind == spoke {
		if !a.wellFormed(x, flow) {
			return
		}
	} else if p.Malformed != "" || whole && !(p.TCP.ChecksumOK && p.HeaderSumOK) {
		if st.kind == heard { // a guest that takes it in shows by what it does next
			a.BadSums++
		}
		return
	}
	if s := a.stream(x, flow); s != nil && !s.stopped {
		s.take(x)
	}
}

// seen is a segment at one moment.
type seen struct {
	step
	e     *wire.Event
	p     *wire.Packet
	seg   *wire.Segment
	whole bool // nothing of the frame was cut off
	n     int64
}

// has says whether all of f are set in the segment.
func (x *seen) has(f wire.Flags) bool { return x.seg.Flags.Has(f) }

// bytes of data, or nil when they are not known.
func (x *seen) bytes() []byte {
	if !x.whole {
		return nil
	}
	return x.seg.Payload
}

// wellFormed judges a frame of the guest by itself.
func (a *Analysis) wellFormed(x *seen, flow wire.Flow) bool {
	switch p := x.p; {
	case p.Malformed != "":
		a.report(&Finding{Code: Malformed, Flow: flow, At: x.at, Event: x.n, Text: "sent a segment that cannot be read: " + p.Malformed})
		return false
	case x.whole && !p.HeaderSumOK:
		a.report(&Finding{Code: BadChecksum, Flow: flow, At: x.at, Event: x.n, Text: "the checksum of the IPv4 header is wrong"})
	case x.whole && !p.TCP.ChecksumOK:
		a.report(&Finding{Code: BadChecksum, Flow: flow, At: x.at, Event: x.n, Text: "the checksum of the segment is wrong"})
	}
	return true
}

// reached is when the first copy of what the guest sent came to the peer whole; ok
// is false when none did.
func (a *Analysis) reached(e *wire.Event) (at time.Duration, ok bool) {
	for _, c := range e.Passed {
		if c.Frame != nil {
			var p wire.Packet
			p.Decode(c.Frame)
			if !p.IsTCP || p.Malformed != "" || !p.TCP.ChecksumOK || !p.HeaderSumOK {
				continue
			}
		}
		if !ok || c.At < at {
			at, ok = c.At, true
		}
	}
	return at, ok
}
