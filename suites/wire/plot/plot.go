// Package plot draws what crossed a cable as time-sequence diagrams, the kind that
// tcptrace and xplot made known (Shepard, "TCP packet trace analysis", MIT/LCS/TR-494):
// sequence numbers over time, the segments as vertical bars, what is acknowledged and
// what may be sent as lines. A picture is one direction of one TCP stream, as SVG without
// scripts or references, light or dark as its reader likes it, and of bounded size
// however long the trace is.
//
// Times are those of the guest's end of the cable: when it sent what it sent, when it
// got what it got. Bytes count from the one behind the SYN.
package plot

import (
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// maxStreams bounds the streams that are drawn: the first ones.
const maxStreams = 256

// Picture is one direction of a stream.
type Picture struct {
	Stream int            // its number, as wire.Streams counts; from 1
	NIC    int            //
	Dir    wire.Direction // of the bytes
	Flow   wire.Flow
	// What there is to see: a reader of many pictures looks at those that show something.
	Segments, Resent, Dropped, Findings int
	Bytes                               int64 // behind the highest that was sent

	trace   *wire.Trace
	judged  bool // there was an analysis
	segs    []segment
	acks    []ack
	sacks   []block
	marks   []mark
	labels  []label
	scaled  bool // both windows' scales are known
	reasons map[string]int
}

// segment is one that took sequence space.
type segment struct {
	at       time.Duration
	from, to int64
	event    int32 // index in the trace
	sends    int32 // of the byte that was sent most often, so far
	reason   judge.Reason
}

// ack is an acknowledgement as the sender of the picture's bytes got it, or, of the
// peer's bytes, as the guest sent it.
type ack struct {
	at        time.Duration
	ack, edge int64
	pure      bool // it has no data
}

// block is a SACK block.
type block struct {
	at       time.Duration
	from, to int64
}

// markKind is what a mark is about. The zero value is invalid.
type markKind uint8

const (
	_ markKind = iota
	markDropped
	markCopy
	markLate
	markChanged
	markFinding
	markEnd
)

var markNames = [markEnd]string{"", "dropped by the wire", "second copy", "late", "changed by the wire", "finding"}

// mark says what is special about a frame.
type mark struct {
	kind     markKind
	at       time.Duration
	sent     time.Duration // for markLate: when it was sent
	from, to int64
	event    int32
	finding  *judge.Finding
}

// label is a word in the picture.
type label struct {
	at   time.Duration
	y    int64
	text string
}

// Pictures are the directions of a trace's streams in which bytes were sent, in their
// order; of a stream without bytes, those in which a SYN or FIN was. a says why
// something was sent again and what of it is wrong; nil: nobody has judged. The trace
// must not change afterwards.
func Pictures(t *wire.Trace, a *judge.Analysis) []*Picture {
	r := newReader(t, a)
	for i := range t.Events {
		r.event(i)
	}
	var out []*Picture
	for _, c := range r.conns {
		c.late(t)
		for i := range c.sides {
			p, other := c.sides[i].pic, c.sides[1-i].pic
			if len(p.segs) == 0 || p.Bytes <= 1 && other.Bytes > 1 {
				continue
			}
			p.scaled = c.scale(0) >= 0 && c.scale(1) >= 0
			p.finish()
			out = append(out, p)
		}
	}
	return out
}

// Name is a name for its file: "stream1-from_guest.svg".
func (p *Picture) Name() string {
	dir, _ := p.Dir.MarshalText()
	return fmt.Sprintf("stream%d-%s.svg", p.Stream, dir)
}

// Title is what it shows, in a line.
func (p *Picture) Title() string {
	from, to := p.Flow.Guest, p.Flow.Peer
	if p.Dir == wire.ToGuest {
		from, to = to, from
	}
	return fmt.Sprintf("Stream %d, bytes %s: %s → %s", p.Stream, p.Dir, from, to)
}
