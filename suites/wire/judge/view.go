package judge

import (
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// view is what the guest, as a sender, has been told. There are two of each stream.
type view struct {
	una      int64 // everything before it is acknowledged
	progress time.Duration
	zero     time.Duration // since when the window is closed; 0: it is open
	window   int64
	edge     int64 // the offset up to which it may send
	windowed bool  // a window was told
	wl1, wl2 int64 // the segment that told it (RFC 9293, section 3.10.7.4)
	dups     int   // duplicate ACKs since una moved
	firstDup time.Duration
	sacked   spans
}

// told is what an ACK changed in a view.
type told struct {
	advanced  bool
	duplicate bool // as RFC 5681 and RFC 6675 count them
	fresh     []Span
	moved     int
}

// hear takes an ACK in. The segment takes length of the peer's sequence space,
// from seq; top is behind the last byte that the guest sent.
func (v *view) hear(at time.Duration, h *Heard, top int64) (t told) {
	if h.Ack > top || h.Ack < v.una-1<<30 {
		return t
	}
	before := v.edge
	if h.Ack >= v.una && (!v.windowed || h.Start > v.wl1 || h.Start == v.wl1 && (h.Ack > v.wl2 || h.Ack == v.wl2)) {
		v.windowed, v.wl1, v.wl2, v.edge, v.window = true, h.Start, h.Ack, h.Edge, h.Edge-h.Ack
		switch {
		case h.Edge > h.Ack:
			v.zero = 0
		case v.zero == 0:
			v.zero = at
		}
	}
	for _, b := range h.SACK {
		if b.Start >= max(h.Ack, v.una) && b.Start < b.End && b.End <= top {
			t.moved += v.sacked.add(b.Start, b.End, func(s Span) { t.fresh = append(t.fresh, s) })
		}
	}
	switch {
	case h.Ack > v.una:
		v.una, v.progress, v.dups, t.advanced = h.Ack, at, 0, true
		v.sacked.cut(h.Ack)
		if len(t.fresh) > 0 {
			v.dups, v.firstDup, t.duplicate = 1, at, true
		}
	case h.Ack == v.una && h.Start == h.End && top > v.una && !h.Flags.Has(wire.SYN):
		if len(t.fresh) > 0 || len(h.SACK) == 0 && v.edge == before {
			if v.dups++; v.dups == 1 {
				v.firstDup = at
			}
			t.duplicate = true
		}
	}
	return t
}

// closed says whether the window ends at or before off.
func (v *view) closed(off int64) bool { return v.windowed && v.edge <= off }
