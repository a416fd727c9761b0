package judge

import (
	"net/netip"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// hear plays what the peer sent: as something that the guest may know, or must.
func (s *Stream) hear(x *seen) {
	h := s.told(x)
	if x.kind != sure {
		s.Heard = append(s.Heard, h)
	}
	switch x.kind {
	case missed:
		return
	case heard:
		s.overdue(x)
		s.learn(x)
		s.received(x, &h)
	case sure:
		s.mustHave(x, &h)
	}
	s.theirs.top = max(s.theirs.top, h.End)
	if !x.has(wire.ACK) || !s.mine.known || x.has(wire.RST) {
		return
	}
	if x.kind == heard {
		s.acksHeard[s.ackCount%len(s.acksHeard)] = x.seg.Ack
		s.ackCount++
		s.acked(x, &h)
		return
	}
	t := s.sure.hear(x.at-s.a.profile.Reaction, &h, s.max)
	s.works(x, t.moved)
	if t.advanced {
		i := s.out.at(s.sure.una)
		s.out = s.out[i:]
	}
}

// told reads a segment of the peer.
func (s *Stream) told(x *seen) Heard {
	start := s.theirs.off(x.seg.Seq)
	h := Heard{Event: x.n, Left: x.e.At, At: x.at, Lost: x.kind == missed, Flags: x.seg.Flags,
		Start: start, End: start + int64(x.seg.Len())}
	if !x.has(wire.ACK) || !s.mine.known {
		return h
	}
	h.Ack = s.mine.off(x.seg.Ack)
	window := int64(x.seg.Window)
	if !x.has(wire.SYN) && s.myScale >= 0 && s.peerScale > 0 {
		window <<= s.peerScale
	}
	if !s.theirs.syn || !s.mine.syn {
		window = 1 << 30 // how it is scaled was said before the trace
	}
	h.Edge = h.Ack + window
	for _, b := range x.seg.Options.SACK() {
		h.SACK = append(h.SACK, Span{s.mine.off(b.Start), s.mine.off(b.End)})
	}
	return h
}

// learn takes the options of the peer's SYN.
func (s *Stream) learn(x *seen) {
	o := &x.seg.Options
	if x.has(wire.SYN) {
		if s.theirSYN {
			s.synHeard = x.at
		}
		s.theirSYN = true
		s.mss, s.peerScale = int64(o.MSS), -1
		if o.HasScale {
			s.peerScale = int(min(o.Scale, 14))
		}
		s.peerSACK, s.peerTime = o.SACKPermitted, o.HasTime
	}
	if o.HasTime {
		s.echoes.add(o.TSVal)
	}
}

// acked lets the sender know of an ACK at once.
func (s *Stream) acked(x *seen, h *Heard) {
	v, una := &s.now, s.now.una
	t := v.hear(x.at, h, s.max)
	s.works(x, t.moved)
	if t.duplicate {
		s.Stats.DupAcks++
	}
	for len(s.edges) > 0 && s.edges[len(s.edges)-1].edge <= h.Edge {
		s.edges = s.edges[:len(s.edges)-1]
	}
	s.edges = append(s.edges, edgeAt{x.at, h.Edge})
	if v.zero == x.at && v.una < s.max {
		s.timer.closed = x.at
	}
	for _, f := range t.fresh {
		s.deliver(x.at, f.Start, f.End)
	}
	if t.advanced {
		s.deliver(x.at, una, v.una)
		s.sampled(x.at, una, v.una)
		s.progress()
	}
	s.suspect(x)
}

// deliver notes that [start, end) has come to the peer.
func (s *Stream) deliver(at time.Duration, start, end int64) {
	for i := s.out.at(start); i < len(s.out) && s.out[i].start < end; i++ {
		if p := &s.out[i]; p.sends == 1 || at-p.last >= s.rtt.least {
			s.delivered = max(s.delivered, p.last)
		}
		s.a.work--
	}
	s.timer.got += end - start
}

// sampled takes the round-trip time of what is acknowledged, if it was sent once.
func (s *Stream) sampled(at time.Duration, una, ack int64) {
	i := s.out.at(ack - 1)
	if i == len(s.out) || s.out[i].sends != 1 || s.out[i].start >= ack {
		return
	}
	for j := s.out.at(una); j < i; j++ {
		if s.out[j].sends > 1 {
			return // it may have waited for that one
		}
		s.a.work--
	}
	d := at - s.out[i].first
	s.rtt.sample(d, s.out[i].end > 1)
	st := &s.Stats
	if st.RTTs++; st.RTTs == 1 {
		st.MinRTT = d
	}
	st.MinRTT, st.MaxRTT = min(st.MinRTT, d), max(st.MaxRTT, d)
}

// progress follows from an ACK that moved una.
func (s *Stream) progress() {
	s.timer.count, s.timer.syns = 0, 0
	s.recovery.due = 0
	if s.timer.on && s.now.una >= s.timer.recover {
		s.timer.on = false
	}
	if s.recovery.on && s.now.una >= s.recovery.end {
		s.recovery.on = false
	}
}

// suspect sets the moment by which a fast retransmission is owed. It is owed only
// where every stack agrees: three duplicate ACKs, new since the last recovery and
// the last timeout (RFC 6582, section 3.2), for what the wire lost.
func (s *Stream) suspect(x *seen) {
	p := &s.a.profile
	if p.DupThresh == 0 || s.now.dups < p.DupThresh || s.recovery.due > 0 || s.recovery.on || s.timer.on || s.recovery.told == s.now.una {
		return
	}
	if s.recovery.end > 0 && s.now.una <= s.recovery.end || s.now.closed(s.now.una) || s.timer.count > 0 {
		return
	}
	if bytes, _ := s.now.sacked.above(s.now.una, p.DupThresh); len(s.now.sacked) > 0 && bytes <= int64(p.DupThresh-1)*s.size() {
		return
	}
	i := s.out.at(s.now.una)
	if i < len(s.out) && s.out[i].lost && s.out[i].sends == 1 {
		s.recovery.due = x.at + max(p.FastDeadline, p.Reaction)
	}
}

// tooBig takes an ICMP message in that says that a packet was too big: what it
// concerns may be sent again at once.
func (a *Analysis) tooBig(p *wire.Packet, at time.Duration) {
	b := p.Payload
	if p.Malformed != "" || p.Fragment || len(b) < 8 {
		return
	}
	var flow wire.Flow
	switch inner := b[8:]; {
	case p.Proto == wire.ProtoICMP && b[0] == 3 && b[1] == 4 && len(inner) >= 20: // RFC 792, RFC 1191
		head := int(inner[0]&0x0f) * 4
		if head < 20 || len(inner) < head+4 || inner[9] != wire.ProtoTCP {
			return
		}
		flow.Guest = portOf(netip.AddrFrom4([4]byte(inner[12:16])), inner[head:])
		flow.Peer = portOf(netip.AddrFrom4([4]byte(inner[16:20])), inner[head+2:])
	case p.Proto == wire.ProtoICMPv6 && b[0] == 2 && len(inner) >= 44 && inner[6] == wire.ProtoTCP: // RFC 4443
		flow.Guest = portOf(netip.AddrFrom16([16]byte(inner[8:24])), inner[40:])
		flow.Peer = portOf(netip.AddrFrom16([16]byte(inner[24:40])), inner[42:])
	default:
		return
	}
	if s := a.flows[flow]; s != nil {
		s.tooBigAt = at
	}
}

func portOf(addr netip.Addr, b []byte) netip.AddrPort {
	return netip.AddrPortFrom(addr, uint16(b[0])<<8|uint16(b[1]))
}
