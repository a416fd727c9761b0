package peer

import (
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/headwatch/headwatch/suites/wire"
)

// link is the NIC of gVisor's stack, on a cable.
type link struct {
	nic   *wire.NIC
	mac   wire.MAC
	strip []byte // kinds of options taken out of SYNs, in both directions

	mu  sync.RWMutex
	mtu uint32
	to  stack.NetworkDispatcher // nil: detached
}

func (l *link) MTU() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mtu
}

func (l *link) SetMTU(mtu uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mtu = mtu
}

func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = d
}

func (l *link) IsAttached() bool { return l.dispatcher() != nil }

func (l *link) dispatcher() stack.NetworkDispatcher {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.to
}

func (l *link) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (l *link) LinkAddress() tcpip.LinkAddress          { return tcpip.LinkAddress(l.mac[:]) }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {} // it is given with the address
func (l *link) Wait()                                   {}
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired
}

func (l *link) AddHeader(p *stack.PacketBuffer) {
	header.Ethernet(p.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: p.EgressRoute.LocalLinkAddress, DstAddr: p.EgressRoute.RemoteLinkAddress, Type: p.NetworkProtocolNumber,
	})
}

func (l *link) ParseHeader(p *stack.PacketBuffer) bool {
	_, ok := p.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// WritePackets sends what the stack has to send.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	all := packets.AsSlice()
	var frame []byte
	for _, p := range all {
		frame = frame[:0]
		for _, part := range p.AsSlices() {
			frame = append(frame, part...)
		}
		l.without(frame)
		l.nic.Send(frame)
	}
	return len(all), nil
}

// Receive is of a wire.Station.
func (l *link) Receive(frame []byte) {
	to := l.dispatcher()
	if to == nil || len(frame) < 14 || frame[0]&1 == 0 && wire.MAC(frame[:6]) != l.mac {
		return
	}
	if len(l.strip) > 0 {
		frame = append([]byte(nil), frame...)
		l.without(frame)
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer p.DecRef()
	if !l.ParseHeader(p) {
		return
	}
	p.PktType = tcpip.PacketHost
	switch {
	case wire.MAC(frame[:6]) == broadcast:
		p.PktType = tcpip.PacketBroadcast
	case frame[0]&1 != 0:
		p.PktType = tcpip.PacketMulticast
	}
	to.DeliverNetworkPacket(header.Ethernet(frame).Type(), p)
}

// without writes no-operations over options of a SYN, for the stack has no switch
// for some.
func (l *link) without(frame []byte) {
	if len(l.strip) == 0 {
		return
	}
	var p wire.Packet
	p.Decode(frame)
	if !p.IsTCP || p.Malformed != "" || !p.TCP.Flags.Has(wire.SYN) || !p.TCP.ChecksumOK {
		return
	}
	const end, nop = 0, 1
	for b := p.TCP.Options.Raw; len(b) > 0 && b[0] != end; {
		n := 1
		if b[0] != nop {
			n = int(b[1]) // Decode has seen that it fits
		}
		for _, kind := range l.strip {
			if b[0] == kind {
				for i := range n {
					b[i] = nop
				}
			}
		}
		b = b[n:]
	}
	wire.FixSums(frame)
}
