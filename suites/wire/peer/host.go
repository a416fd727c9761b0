package peer

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// maxNeighbours bounds the table of who has which MAC.
const maxNeighbours = 1024

// host answers for a scripted peer what every host answers: ARP, Neighbour Discovery
// and echo requests. And it finds the MACs of others.
type host struct {
	Address
	send func(frame []byte)
	mute bool // another station answers for the address

	mu         sync.Mutex
	neighbours map[netip.Addr]wire.MAC
	learned    chan struct{} // closed and renewed when there is a new one
}

func newHost(a Address, send func([]byte), mute bool) *host {
	return &host{Address: a, send: send, mute: mute, neighbours: map[netip.Addr]wire.MAC{}, learned: make(chan struct{})}
}

func (h *host) learn(a netip.Addr, mac wire.MAC) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, known := h.neighbours[a]; !a.IsValid() || a.IsUnspecified() || mac[0]&1 != 0 || known && old == mac || !known && len(h.neighbours) >= maxNeighbours {
		return
	}
	h.neighbours[a] = mac
	close(h.learned)
	h.learned = make(chan struct{})
}

func (h *host) known(a netip.Addr) (wire.MAC, bool, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mac, ok := h.neighbours[a]
	return mac, ok, h.learned
}

// resolve gives the MAC of a, and asks for it each 200 ms until ctx ends.
func (h *host) resolve(ctx context.Context, a netip.Addr) (wire.MAC, error) {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		mac, ok, learned := h.known(a)
		if ok {
			return mac, nil
		}
		if a.Is4() {
			ask := arpMessage{op: 1, sender: h.V4.Addr(), senderMAC: h.MAC, target: a}
			h.send(ask.frame())
		} else {
			h.send(h.solicit(a))
		}
		select {
		case <-learned:
		case <-again.C:
		case <-ctx.Done():
			return mac, fmt.Errorf("nobody says that he has %v: %w", a, context.Cause(ctx))
		}
	}
}

// take answers what is no business of the script, and says whether that was all.
func (h *host) take(p *wire.Packet, frame []byte) bool {
	if p.EtherType == wire.EtherARP {
		if a, ok := parseARP(frame); ok {
			h.learn(a.sender, a.senderMAC)
			if a.op == 1 && a.target == h.V4.Addr() && !h.mute {
				reply := arpMessage{op: 2, sender: a.target, senderMAC: h.MAC, target: a.sender, targetMAC: a.senderMAC}
				h.send(reply.frame())
			}
		}
		return true
	}
	if !p.Src.IsValid() || p.Fragment {
		return true
	}
	if p.Proto == wire.ProtoICMPv6 && h.discover(p) {
		return true
	}
	if !h.has(p.Dst) {
		return true
	}
	h.learn(p.Src, p.EtherSrc)
	return h.echo(p)
}

// discover takes a message of Neighbour Discovery.
func (h *host) discover(p *wire.Packet) bool {
	m := p.Payload
	if len(m) < 24 || m[0] != solicitation && m[0] != advertisement {
		return false
	}
	target := netip.AddrFrom16([16]byte(m[8:24]))
	if m[0] == advertisement {
		if mac, ok := linkOption(m[24:], optTargetMAC); ok {
			h.learn(target, mac)
		}
		return true
	}
	if mac, ok := linkOption(m[24:], optSourceMAC); ok {
		h.learn(p.Src, mac)
	}
	if target != h.V6.Addr() || p.Src.IsUnspecified() || h.mute { // unspecified: it looks for duplicates, and is none
		return true
	}
	t := target.As16()
	reply := append([]byte{advertisement, 0, 0, 0, 0x60, 0, 0, 0}, t[:]...) // solicited, override
	reply = append(append(reply, optTargetMAC, 1), h.MAC[:]...)
	h.send(icmpFrame(wire.Packet{EtherSrc: h.MAC, EtherDst: p.EtherSrc, TTL: 255, Src: target, Dst: p.Src}, wire.ProtoICMPv6, reply))
	return true
}

func (h *host) echo(p *wire.Packet) bool {
	var reply byte
	switch {
	case len(p.Payload) < 8:
		return false
	case p.Proto == wire.ProtoICMP && p.Payload[0] == echoRequest4:
		reply = echoReply4
	case p.Proto == wire.ProtoICMPv6 && p.Payload[0] == echoRequest6:
		reply = echoReply6
	default:
		return false
	}
	if !h.mute {
		m := append([]byte{reply}, p.Payload[1:]...)
		h.send(icmpFrame(wire.Packet{EtherSrc: h.MAC, EtherDst: p.EtherSrc, Src: p.Dst, Dst: p.Src}, p.Proto, m))
	}
	return true
}
