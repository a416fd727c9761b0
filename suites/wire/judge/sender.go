package judge

import (
	"bytes"
	"io"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// sender is the guest's sending side of a stream.
type sender struct {
	now, sure view
	edges     []edgeAt      // edges that it may know of, the highest first
	out       pieces        // from sure.una on
	max       int64         // behind the last byte sent
	mss       int64         // of the peer's option; 0: not told
	peerScale int           // shift of the peer's windows; -1: not told
	fin       bool          // a FIN was sent: it is the byte before max
	newest    time.Duration // when the newest piece of data was sent, or sent again
	delivered time.Duration // when the newest delivered one had been sent (RACK.xmit_ts)
	expected  io.ReaderAt
	recovery  recovery
	timer     timer
	rtt       estimate
	tooBigAt  time.Duration
	probedAt  time.Duration // the last probe of a closed window
	synHeard  time.Duration // when the peer's SYN came again
}

// edgeAt is a window's edge that was heard at a time.
type edgeAt struct {
	at   time.Duration
	edge int64
}

// recovery is the repair of losses that duplicate ACKs or SACK showed.
type recovery struct {
	on      bool
	at      time.Duration
	end     int64 // behind what was sent when it began; kept when it is over
	rescued bool
	due     time.Duration // by when a fast retransmission must come; 0: none
	told    int64         // una for which it was reported that none came
}

func (s *Stream) opened() {
	s.now.una, s.sure.una, s.max = s.mine.top, s.mine.top, s.mine.top
	s.recovery.told = -1
	if s.a.expect.Sent != nil {
		s.expected = s.a.expect.Sent(s.Flow)
	}
}

// known is the fate that the wire gave a segment.
func (s *Stream) record(x *seen) *Sent {
	a := s.mine.off(x.seg.Seq)
	rec := Sent{Event: x.n, At: x.at, Flags: x.seg.Flags, Start: a, End: a + int64(x.seg.Len())}
	arrived, ok := s.a.reached(x.e)
	rec.Arrived, rec.Lost = arrived, !ok
	s.Sent = append(s.Sent, rec)
	s.Stats.Segments++
	return &s.Sent[len(s.Sent)-1]
}

// send judges a segment of the guest that is no RST.
func (s *Stream) send(x *seen) {
	s.overdue(x)
	rec := s.record(x)
	s.judgeOptions(x)
	s.judgeAck(x, rec)
	if rec.End > rec.Start {
		s.Stats.DataSegments++
		if rec.Lost {
			s.Stats.Lost++
		}
		s.judgeContent(x, rec)
		s.judgeSize(x, rec)
		if rec.Start < s.max {
			s.again(x, rec)
		}
		if rec.End > s.max {
			s.fresh(x, rec)
		}
		s.Stats.MaxFlight = max(s.Stats.MaxFlight, s.max-s.now.una-s.now.sacked.total0())
	} else if rec.Start == s.now.una-1 || rec.Start == s.sure.una-1 {
		rec.Reason = Keepalive
		if s.now.closed(s.now.una) || s.sure.closed(s.sure.una) {
			rec.Reason = Persist
			s.probe(x, rec)
		}
	}
	s.mine.top = max(s.mine.top, s.max)
}

// total0 is total for few ranges, and an underestimate for many: it is used per
// segment.
func (r spans) total0() (n int64) {
	return r[:min(len(r), 16)].total()
}

// judgeContent compares what is sent with what was to be sent, and with what was
// sent before in its place.
func (s *Stream) judgeContent(x *seen, rec *Sent) {
	data := x.bytes()
	if len(data) == 0 || !x.seg.ChecksumOK {
		return
	}
	at := rec.Start
	if x.has(wire.SYN) {
		at++
	}
	keepalive := at < s.now.una && len(data) <= 1
	if s.expected != nil && s.mine.syn && at >= 1 && !keepalive {
		if i := compare(s.expected, at-1, data); i >= 0 {
			s.found(WrongContent, x, at, at+int64(len(data)), "byte %d of the stream is not what it was told to send", at-1+int64(i))
		}
	}
	for i := s.out.at(at); i < len(s.out) && s.out[i].start < at+int64(len(data)); i++ {
		p := &s.out[i]
		from, old, young := max(p.start, at), p.data, data
		if old == nil || from-p.start > int64(len(old)) {
			continue
		}
		old, young = old[from-p.start:], young[from-at:]
		n := min(len(old), len(young))
		if !bytes.Equal(old[:n], young[:n]) {
			s.found(ContentChanged, x, from, from+int64(n), "sent again with other bytes than the first time, %s before", ms(x.at-p.first))
			return
		}
	}
}

func (s *Stream) judgeSize(x *seen, rec *Sent) {
	if n := int64(len(x.seg.Payload)); s.mss > 0 && n > s.mss {
		s.found(MSSExceeded, x, rec.Start, rec.End, "%d bytes of data, and the peer takes segments of %d", n, s.mss)
	}
}

// fresh takes bytes in that are sent for the first time.
func (s *Stream) fresh(x *seen, rec *Sent) {
	from := max(rec.Start, s.max)
	s.judgeWindow(x, rec, from)
	if d := s.now.dups; rec.Reason == 0 && (d == 1 || d == 2) && !s.recovery.on {
		rec.Reason = LimitedTransmit
	}
	if gap := from - s.max; gap > 0 && gap < 1<<30 && s.max > 0 {
		// It sent something that never came to the wire: its own queue lost it.
		s.out = append(s.out, piece{start: s.max, end: from, first: x.at, last: x.at, sends: 1, lost: true, anyLost: true})
	}
	if x.has(wire.SYN) && from == rec.Start {
		s.push(x, rec, from, from+1, nil)
		from++
	}
	if from < rec.End {
		var data []byte
		if b := x.bytes(); b != nil && x.seg.ChecksumOK {
			payload := rec.Start
			if x.has(wire.SYN) {
				payload++
			}
			data = b[min(from-payload, int64(len(b))):]
		}
		s.push(x, rec, from, rec.End, data)
	}
	s.Stats.Bytes += rec.End - max(rec.Start, s.max)
	s.max, s.fin = rec.End, s.fin || x.has(wire.FIN)
	s.newest = x.at
	s.timer.sent += rec.End - from
	s.works(x, 1)
}

func (s *Stream) push(x *seen, rec *Sent, start, end int64, data []byte) {
	s.out = append(s.out, piece{start: start, end: end, first: x.at, last: x.at, sends: 1, lost: rec.Lost, anyLost: rec.Lost, data: data})
}

// allowed is the highest edge that the guest may believe in.
func (s *Stream) allowed(at time.Duration) int64 {
	for len(s.edges) > 0 && s.edges[0].at < at-s.a.profile.Reaction {
		s.edges = s.edges[1:]
	}
	edge := s.sure.edge
	if !s.sure.windowed {
		edge = s.now.edge
	}
	if len(s.edges) > 0 {
		edge = max(edge, s.edges[0].edge)
	}
	return edge
}

// judgeWindow judges new bytes by the peer's window, and by the first window of
// congestion control.
func (s *Stream) judgeWindow(x *seen, rec *Sent, from int64) {
	end := rec.End
	if x.has(wire.FIN) {
		end-- // it needs no room
	}
	// What a duplicate or a SACK block says has left the network makes room for as much
	// (RFC 3042; RFC 4653 2, which Linux does when it awaits reordering); a recovery has its
	// own rules.
	iw := int64(s.a.profile.InitialWindow) * s.size()
	left := max(s.now.sacked.total0(), int64(s.now.dups)*s.size())
	if iw > 0 && s.mine.syn && s.now.una <= 1 && !s.recovery.on && end > 1+iw+left {
		s.found(InitialWindow, x, from, end, "%d bytes outstanding before any was acknowledged; %d segments are %d", end-1-left, s.a.profile.InitialWindow, iw)
	}
	limit := s.allowed(x.at)
	if !s.now.windowed || end <= limit || end <= from {
		return
	}
	if end-rec.Start == 1 && s.now.closed(rec.Start) {
		rec.Reason = Persist
		s.probe(x, rec)
		return
	}
	s.found(BeyondWindow, x, max(from, limit), end, "%d bytes behind the end of the peer's window at %d", end-max(from, limit), limit)
}

// size is that of a full segment.
func (s *Stream) size() int64 {
	if s.mss > 0 {
		return s.mss
	}
	return 1460
}

// probe judges when a probe of a closed window comes.
func (s *Stream) probe(x *seen, rec *Sent) {
	p := &s.a.profile
	since := max(s.probedAt, s.sure.zero)
	if s.sure.zero == 0 {
		since = s.now.zero
	}
	gap := x.at - since
	s.probedAt = x.at
	if p.PersistMin == 0 || since == 0 {
		return
	}
	if early := p.PersistMin - p.PersistMin/10 - 2*p.Tick; gap < early {
		s.found(BadPersist, x, rec.Start, rec.End, "probes a closed window after %s, the first time allows none before %s", ms(gap), ms(early))
	} else if late := p.PersistMax + p.PersistMax/10 + p.LateSlack + p.Reaction; gap > late {
		s.found(BadPersist, x, rec.Start, rec.End, "probes a closed window only after %s, later than %s", ms(gap), ms(late))
	}
}
