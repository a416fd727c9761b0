package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/headwatch/headwatch/suites/wire"
)

// StackOptions are what can be chosen of the stack. Zero fields take the defaults.
// It acknowledges every second segment at the latest, and a time for delayed
// acknowledgements cannot be set: take a Script for that.
type StackOptions struct {
	Address      Address // default: Of(nic, StackHost)
	MTU          int     // of IP, in bytes; default 1500
	NoSACK       bool
	NoTimestamps bool // RFC 7323
	NoScale      bool // windows of at most 64 KiB
	Nagle        bool
	RACK         bool          // loss detection by RFC 8985; off is what most senders did before
	Congestion   string        // reno (default) or cubic
	SendBuffer   int           // bytes; default 1 MiB
	ReceiveWin   int           // bytes of the receive buffer; the window is about half of it; default 1 MiB
	MinRTO       wire.Duration // default 200ms
	Seed         int64         // of ports and sequence numbers, as far as the stack draws them from it
}

// Stack is gVisor's TCP/IP on a cable. It answers ARP, Neighbour Discovery and echo
// requests. Its owner ends it with Close, before or after the cable.
type Stack struct {
	link  *link
	stack *stack.Stack
	self  Address
}

const stackNIC = 1

// Kinds of options that are stripped.
const (
	kindScale = 3
	kindTime  = 8
)

// NewStack puts a stack behind the cable of a NIC.
func NewStack(nic *wire.NIC, o StackOptions) (*Stack, error) {
	o.fill(nic)
	s := &Stack{self: o.Address, link: &link{nic: nic, mac: o.Address.MAC, mtu: uint32(o.MTU)}}
	if o.NoTimestamps {
		s.link.strip = append(s.link.strip, kindTime)
	}
	if o.NoScale {
		s.link.strip = append(s.link.strip, kindScale)
	}
	options := stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	}
	if o.Seed != 0 {
		options.RandSource = &lockedSource{from: rand.NewSource(o.Seed)}
	}
	s.stack = stack.New(options)
	if err := s.configure(&o); err != nil {
		s.stack.Destroy()
		return nil, err
	}
	if err := nic.Join(s); err != nil {
		s.stack.Destroy()
		return nil, err
	}
	return s, nil
}

func (o *StackOptions) fill(nic *wire.NIC) {
	if o.Address == (Address{}) {
		o.Address = Of(nic.Number(), StackHost)
	}
	if o.MTU <= 0 {
		o.MTU = 1500
	}
	if o.Congestion == "" {
		o.Congestion = "reno"
	}
	if o.SendBuffer <= 0 {
		o.SendBuffer = 1 << 20
	}
	if o.ReceiveWin <= 0 {
		o.ReceiveWin = 1 << 20
	}
}

func (s *Stack) configure(o *StackOptions) error {
	var errs []error
	note := func(what string, err tcpip.Error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("TCP stack: %s: %s", what, err))
		}
	}
	set := func(what string, option tcpip.SettableTransportProtocolOption) {
		note(what, s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option))
	}
	sack, nagle, moderate := tcpip.TCPSACKEnabled(!o.NoSACK), tcpip.TCPDelayEnabled(o.Nagle), tcpip.TCPModerateReceiveBufferOption(false)
	var recovery tcpip.TCPRecovery
	if o.RACK {
		recovery = tcpip.TCPRACKLossDetection
	}
	cc := tcpip.CongestionControlOption(o.Congestion)
	set("sack", &sack)
	set("nagle", &nagle)
	set("moderated receive buffer", &moderate)
	set("rack", &recovery)
	set("congestion control "+o.Congestion, &cc)
	set("send buffer", &tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: o.SendBuffer, Max: max(o.SendBuffer, 4<<20)})
	set("receive buffer", &tcpip.TCPReceiveBufferSizeRangeOption{Min: 1, Default: o.ReceiveWin, Max: max(o.ReceiveWin, 4<<20)})
	if o.MinRTO > 0 {
		rto := tcpip.TCPMinRTOOption(o.MinRTO)
		set("least retransmission timeout", &rto)
	}
	note("nic", s.stack.CreateNIC(stackNIC, s.link))
	for _, a := range []struct {
		proto  tcpip.NetworkProtocolNumber
		prefix netip.Prefix
	}{{header.IPv4ProtocolNumber, o.Address.V4}, {header.IPv6ProtocolNumber, o.Address.V6}} {
		if !a.prefix.IsValid() {
			continue
		}
		note("address "+a.prefix.String(), s.stack.AddProtocolAddress(stackNIC, tcpip.ProtocolAddress{
			Protocol:          a.proto,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(a.prefix.Addr().AsSlice()), PrefixLen: a.prefix.Bits()},
		}, stack.AddressProperties{}))
		subnet, err := tcpip.NewSubnet(tcpip.AddrFromSlice(a.prefix.Masked().Addr().AsSlice()), tcpip.MaskFromBytes(net.CIDRMask(a.prefix.Bits(), a.prefix.Addr().BitLen())))
		if err != nil {
			errs = append(errs, fmt.Errorf("network %v: %w", a.prefix, err))
		}
		s.stack.AddRoute(tcpip.Route{Destination: subnet, NIC: stackNIC})
	}
	return errors.Join(errs...)
}

// Address is who the stack is.
func (s *Stack) Address() Address { return s.self }

// Know tells the stack for good who has an address, so that it never asks.
func (s *Stack) Know(a netip.Addr, mac wire.MAC) error {
	at, proto := full(netip.AddrPortFrom(a, 0))
	if err := s.stack.AddStaticNeighbor(stackNIC, proto, at.Addr, tcpip.LinkAddress(mac[:])); err != nil {
		return fmt.Errorf("neighbour %v: %s", a, err)
	}
	return nil
}

// Takes and Receive are of a wire.Station.
func (s *Stack) Takes(p *wire.Packet) bool { return p.EtherDst == s.self.MAC }
func (s *Stack) Receive(frame []byte)      { s.link.Receive(frame) }

func full(a netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	proto := tcpip.NetworkProtocolNumber(etherType(a.Addr()))
	return tcpip.FullAddress{NIC: stackNIC, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}, proto
}

// Listen listens at a port of the address of the kind of ("tcp4" or "tcp6").
func (s *Stack) Listen(network string, port uint16) (net.Listener, error) {
	self := s.self.V4.Addr()
	if network == "tcp6" {
		self = s.self.V6.Addr()
	} else if network != "tcp4" {
		return nil, fmt.Errorf("network %q: want tcp4 or tcp6", network)
	}
	at, proto := full(netip.AddrPortFrom(self, port))
	l, err := gonet.ListenTCP(s.stack, at, proto)
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// listener ends a waiting Accept when it is closed, as those of package net do.
type listener struct{ *gonet.TCPListener }

func (l listener) Close() error {
	l.Shutdown()
	return l.TCPListener.Close()
}

// Dial connects to a guest. The connection is a *gonet.TCPConn: it has CloseWrite.
func (s *Stack) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	at, proto := full(to)
	c, err := gonet.DialContextTCP(ctx, s.stack, at, proto)
	if err != nil {
		return nil, fmt.Errorf("connecting to %v: %w", to, err)
	}
	return c, nil
}

// Stats of TCP, by their names in gVisor's tcpip.TCPStats.
func (s *Stack) Stats() map[string]uint64 {
	t := s.stack.Stats().TCP
	return map[string]uint64{
		"Retransmits": t.Retransmits.Value(), "FastRetransmit": t.FastRetransmit.Value(), "Timeouts": t.Timeouts.Value(),
		"SACKRecovery": t.SACKRecovery.Value(), "FastRecovery": t.FastRecovery.Value(), "ChecksumErrors": t.ChecksumErrors.Value(),
		"SegmentsSent": t.SegmentsSent.Value(), "ValidSegmentsReceived": t.ValidSegmentsReceived.Value(),
		"InvalidSegmentsReceived": t.InvalidSegmentsReceived.Value(), "ResetsReceived": t.ResetsReceived.Value(),
	}
}

// Close aborts every connection and waits for the stack's goroutines.
func (s *Stack) Close() error {
	s.stack.Destroy()
	return nil
}
