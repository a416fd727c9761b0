package wire

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// Seq is a sequence number: it wraps (RFC 9293, section 3.4).
type Seq uint32

// Less says whether s lies before t, for numbers that are less than 2³¹ apart.
func (s Seq) Less(t Seq) bool { return int32(s-t) < 0 }

// AtMost says whether s lies before t or is it.
func (s Seq) AtMost(t Seq) bool { return int32(s-t) <= 0 }

// From is how far s lies behind t; negative when before.
func (s Seq) From(t Seq) int { return int(int32(s - t)) }

// Flags of a segment.
type Flags uint8

// The flags (RFC 9293, section 3.1; RFC 3168).
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has says whether all of f are set.
func (f Flags) Has(all Flags) bool { return f&all == all }

func (f Flags) String() string {
	var names []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Block is a range of sequence numbers, without its end.
type Block struct{ Start, End Seq }

// Options of a segment that mean something to us.
type Options struct {
	Raw           []byte // all of them, as they came
	MSS           uint16 // 0: absent (RFC 9293)
	HasScale      bool   // RFC 7323
	Scale         uint8
	SACKPermitted bool // RFC 2018
	HasTime       bool // RFC 7323
	TSVal, TSEcr  uint32
	sack          [4]Block
	sacks         int
	FastOpen      []byte // RFC 7413; nil: absent, empty: a cookie is asked for
}

// SACK are the blocks of a selective acknowledgement (RFC 2018), in their order.
func (o *Options) SACK() []Block { return o.sack[:o.sacks] }

// Segment is a TCP segment.
type Segment struct {
	SrcPort, DstPort uint16
	Seq, Ack         Seq
	Flags            Flags
	Window           uint16 // as sent, not scaled
	Urgent           uint16
	Options          Options
	Payload          []byte
	ChecksumOK       bool
}

// Len is how much of the sequence space it takes: its bytes, SYN and FIN.
func (s *Segment) Len() int {
	n := len(s.Payload)
	if s.Flags.Has(SYN) {
		n++
	}
	if s.Flags.Has(FIN) {
		n++
	}
	return n
}

// End is the sequence number behind it.
func (s *Segment) End() Seq { return s.Seq + Seq(s.Len()) }

// Flow names a connection, as seen from the guest.
type Flow struct{ Guest, Peer netip.AddrPort }

// Flow of a TCP packet; dir tells whose the source is.
func (p *Packet) Flow(dir Direction) Flow {
	src, dst := netip.AddrPortFrom(p.Src, p.TCP.SrcPort), netip.AddrPortFrom(p.Dst, p.TCP.DstPort)
	if dir == FromGuest {
		return Flow{src, dst}
	}
	return Flow{dst, src}
}

// decode reads p's payload and says what is wrong with it.
func (s *Segment) decode(p *Packet) (malformed string) {
	b := p.Payload
	if len(b) < 20 {
		return "shorter than a TCP header"
	}
	s.SrcPort, s.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	s.Seq, s.Ack = Seq(binary.BigEndian.Uint32(b[4:])), Seq(binary.BigEndian.Uint32(b[8:]))
	s.Flags, s.Window, s.Urgent = Flags(b[13]), binary.BigEndian.Uint16(b[14:]), binary.BigEndian.Uint16(b[18:])
	s.ChecksumOK = Checksum(PseudoHeader(p.Src, p.Dst, ProtoTCP, len(b)), b) == 0
	head := int(b[12]>>4) * 4
	if head < 20 || head > len(b) {
		return "length of the TCP header does not fit the segment"
	}
	s.Payload = b[head:]
	return s.Options.decode(b[20:head])
}

// Kinds of options, as IANA assigned them.
const (
	optEnd, optNop, optMSS, optScale, optSACKPermitted, optSACK = 0, 1, 2, 3, 4, 5
	optTime, optFastOpen                                        = 8, 34
)

func (o *Options) decode(b []byte) (malformed string) {
	o.Raw = b
	for len(b) > 0 && b[0] != optEnd {
		if b[0] == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return "length of a TCP option does not fit the header"
		}
		kind, value := b[0], b[2:b[1]]
		b = b[b[1]:]
		if !o.take(kind, value) {
			return "TCP option of a length that its kind does not have"
		}
	}
	return ""
}

// take reads one option and says whether its length is right.
func (o *Options) take(kind byte, v []byte) bool {
	switch {
	case kind == optMSS && len(v) == 2:
		o.MSS = binary.BigEndian.Uint16(v)
	case kind == optScale && len(v) == 1:
		o.HasScale, o.Scale = true, v[0]
	case kind == optSACKPermitted && len(v) == 0:
		o.SACKPermitted = true
	case kind == optSACK && len(v) > 0 && len(v)%8 == 0 && len(v) <= 32:
		o.sacks = len(v) / 8
		for i := range o.sacks {
			o.sack[i] = Block{Seq(binary.BigEndian.Uint32(v[8*i:])), Seq(binary.BigEndian.Uint32(v[8*i+4:]))}
		}
	case kind == optTime && len(v) == 8:
		o.HasTime, o.TSVal, o.TSEcr = true, binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	case kind == optFastOpen:
		o.FastOpen = v
	default:
		return kind > optSACK && kind != optTime
	}
	return true
}
