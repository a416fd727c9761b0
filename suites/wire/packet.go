package wire

import (
	"encoding/binary"
	"net/netip"
)

// Numbers of protocols, as IANA assigned them.
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherIPv6 = 0x86dd

	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// MAC is a hardware address.
type MAC [6]byte

// Packet is what a frame says, as far as it can be understood; it shares the frame's
// memory. Malformed is why the rest could not be; the fields before it hold.
type Packet struct {
	EtherDst, EtherSrc MAC
	EtherType          uint16 // 802.3 lengths and tags are not looked into

	Src, Dst netip.Addr // invalid: it is no IP
	Proto    uint8      // the transport's, behind the extension headers of IPv6
	TTL      uint8      // or hop limit
	TOS      uint8      // or traffic class: DSCP and ECN
	ID       uint16     // IPv4 only
	// Fragment says that it is one: Offset is its place, in bytes, More that others
	// follow. A fragment's payload is not decoded, not even the first one's.
	Fragment, More bool
	Offset         int
	HeaderSumOK    bool   // IPv4's checksum; true for IPv6, which has none
	IPOptions      []byte // IPv4 options, or the extension headers of IPv6
	Payload        []byte // of IP: the transport's header and what follows it

	IsTCP bool
	TCP   Segment

	Malformed string // empty: nothing is
}

// Decode reads a frame. It never fails: see Packet.Malformed. p is overwritten.
func (p *Packet) Decode(frame []byte) {
	*p = Packet{}
	if len(frame) < 14 {
		p.Malformed = "shorter than an Ethernet header"
		return
	}
	copy(p.EtherDst[:], frame)
	copy(p.EtherSrc[:], frame[6:])
	p.EtherType = binary.BigEndian.Uint16(frame[12:])
	switch p.EtherType {
	case EtherIPv4:
		p.decodeIPv4(frame[14:])
	case EtherIPv6:
		p.decodeIPv6(frame[14:])
	}
	if p.Malformed == "" && p.Proto == ProtoTCP && p.Src.IsValid() && !p.Fragment {
		p.IsTCP = true
		p.Malformed = p.TCP.decode(p)
	}
}

func (p *Packet) decodeIPv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		p.Malformed = "no IPv4 header"
		return
	}
	head, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || total < head || total > len(b) {
		p.Malformed = "lengths of the IPv4 header do not fit the frame"
		return
	}
	p.TOS, p.ID, p.TTL, p.Proto = b[1], binary.BigEndian.Uint16(b[4:]), b[8], b[9]
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	fragment := binary.BigEndian.Uint16(b[6:])
	p.More, p.Offset = fragment&0x2000 != 0, int(fragment&0x1fff)*8
	p.Fragment = p.More || p.Offset > 0
	p.HeaderSumOK = Checksum(0, b[:head]) == 0
	p.IPOptions, p.Payload = b[20:head], b[head:total]
}

// Extension headers of IPv6 (RFC 8200, section 4).
const (
	extHopByHop = 0
	extRouting  = 43
	extFragment = 44
	extOptions  = 60
	maxExt      = 16 // headers in a packet that are followed
)

func (p *Packet) decodeIPv6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		p.Malformed = "no IPv6 header"
		return
	}
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size > len(b)-40 {
		p.Malformed = "length of the IPv6 header does not fit the frame"
		return
	}
	p.TOS, p.TTL, p.HeaderSumOK = b[0]<<4|b[1]>>4, b[7], true
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, rest := b[6], b[40:40+size]
	all := rest
	for range maxExt {
		length := 0
		switch next {
		case extHopByHop, extRouting, extOptions:
			if len(rest) >= 2 {
				length = (int(rest[1]) + 1) * 8
			}
		case extFragment:
			length = 8
		default:
			p.Proto, p.Payload, p.IPOptions = next, rest, all[:len(all)-len(rest)]
			return
		}
		if length == 0 || length > len(rest) {
			break
		}
		if next == extFragment {
			word := binary.BigEndian.Uint16(rest[2:])
			p.Offset, p.More = int(word&^7), word&1 != 0
			p.Fragment = p.More || p.Offset > 0
		}
		next, rest = rest[0], rest[length:]
		if p.Offset > 0 { // what follows is the middle of something
			p.Proto, p.Payload, p.IPOptions = next, rest, all[:len(all)-len(rest)]
			return
		}
	}
	p.Malformed = "extension headers of IPv6 that make no sense"
}

// Checksum continues the Internet checksum (RFC 1071) over b, which begins at an
// even offset: 0 to start with, and what it returned before to go on. The sum over
// data that includes a right checksum is 0.
func Checksum(sum uint16, b []byte) uint16 {
	s := uint64(^sum)
	for len(b) >= 8 {
		w := binary.BigEndian.Uint64(b)
		s += w>>48 + w>>32&0xffff + w>>16&0xffff + w&0xffff
		b = b[8:]
	}
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// PseudoHeader is the checksum over what TCP and UDP count of the IP header (RFC
// 9293, section 3.1; RFC 8200, section 8.1). length is the transport's, in bytes.
func PseudoHeader(src, dst netip.Addr, proto uint8, length int) uint16 {
	var b [40]byte
	n := 8
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		n += copy(b[n:], s[:])
		n += copy(b[n:], d[:])
	} else {
		s, d := src.As16(), dst.As16()
		n += copy(b[n:], s[:])
		n += copy(b[n:], d[:])
	}
	binary.BigEndian.PutUint32(b[:], uint32(length))
	b[7] = proto
	return Checksum(0, b[:n])
}
