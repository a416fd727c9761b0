// Package peer is what a guest talks to behind the cable: a real TCP stack, which is
// gVisor's, and a peer that follows a script, segment by segment. Both can be there
// at once, with addresses of their own or sharing one by ports.
package peer

import (
	"encoding/binary"
	"net/netip"

	"github.com/headwatch/headwatch/suites/wire"
)

// Address is who a host on the cable is.
type Address struct {
	MAC    wire.MAC
	V4, V6 netip.Prefix // the address, and how long the network's part is
}

// Hosts of a NIC's network, as Of has them.
const (
	StackHost  = 1
	GuestHost  = 2
	ScriptHost = 3
)

// Of gives the address of a host, 1 to 254, of a NIC's own private network:
// 10.77.NIC.host/24 and fd77:0:0:NIC::host/64 (RFC 1918, RFC 4193).
func Of(nic, host int) Address {
	v6 := [16]byte{0: 0xfd, 1: 0x77, 7: byte(nic), 15: byte(host)}
	return Address{
		MAC: wire.MAC{0x02, 0x77, 0, 0, byte(nic), byte(host)}, // locally administered
		V4:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(nic), byte(host)}), 24),
		V6:  netip.PrefixFrom(netip.AddrFrom16(v6), 64),
	}
}

// has says whether a is one of the host's addresses.
func (h *Address) has(a netip.Addr) bool { return a == h.V4.Addr() || a == h.V6.Addr() }

// of gives the host's own address of the other's kind.
func (h *Address) of(other netip.Addr) netip.Addr {
	if other.Is4() {
		return h.V4.Addr()
	}
	return h.V6.Addr()
}

// etherType is the one of an address's packets.
func etherType(a netip.Addr) uint16 {
	if a.Is4() {
		return wire.EtherIPv4
	}
	return wire.EtherIPv6
}

var broadcast = wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// arpMessage is a message of ARP for IPv4 on Ethernet (RFC 826).
type arpMessage struct {
	op                   uint16 // 1: request, 2: reply
	sender, target       netip.Addr
	senderMAC, targetMAC wire.MAC
}

func parseARP(frame []byte) (a arpMessage, ok bool) {
	if len(frame) < 42 || binary.BigEndian.Uint64(frame[14:])>>16 != 0x000108000604 {
		return arpMessage{}, false
	}
	b := frame[14:]
	a.op = binary.BigEndian.Uint16(b[6:])
	copy(a.senderMAC[:], b[8:])
	copy(a.targetMAC[:], b[18:])
	a.sender, a.target = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	return a, true
}

func (a *arpMessage) frame() []byte {
	b := []byte{0, 1, 8, 0, 6, 4, byte(a.op >> 8), byte(a.op)}
	s, t := a.sender.As4(), a.target.As4()
	b = append(append(b, a.senderMAC[:]...), s[:]...)
	b = append(append(b, a.targetMAC[:]...), t[:]...)
	p := wire.Packet{EtherDst: a.targetMAC, EtherSrc: a.senderMAC, EtherType: wire.EtherARP, Payload: b}
	if a.op == 1 {
		p.EtherDst = broadcast
	}
	return p.Append(nil)
}

// Messages of ICMP, and of Neighbour Discovery for IPv6 (RFC 792, 4443, 4861).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	solicitation             = 135
	advertisement            = 136
	optSourceMAC             = 1
	optTargetMAC             = 2
)

// icmpFrame makes a message with its checksum. p has the addresses.
func icmpFrame(p wire.Packet, proto uint8, message []byte) []byte {
	p.Proto, p.Payload, p.EtherType = proto, message, etherType(p.Src)
	frame := p.Append(nil)
	wire.FixSums(frame)
	return frame
}

// solicit asks for the MAC of to.
func (h *Address) solicit(to netip.Addr) []byte {
	t := to.As16()
	group := [16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]}
	m := append([]byte{solicitation, 0, 0, 0, 0, 0, 0, 0}, t[:]...)
	m = append(append(m, optSourceMAC, 1), h.MAC[:]...)
	return icmpFrame(wire.Packet{
		EtherSrc: h.MAC, EtherDst: wire.MAC{0x33, 0x33, 0xff, t[13], t[14], t[15]}, TTL: 255,
		Src: h.V6.Addr(), Dst: netip.AddrFrom16(group),
	}, wire.ProtoICMPv6, m)
}

// linkOption finds the MAC of kind in options of Neighbour Discovery.
func linkOption(b []byte, kind byte) (mac wire.MAC, ok bool) {
	for len(b) >= 8 && b[1] > 0 && int(b[1])*8 <= len(b) {
		if b[0] == kind {
			return wire.MAC(b[2:8]), true
		}
		b = b[int(b[1])*8:]
	}
	return mac, false
}
