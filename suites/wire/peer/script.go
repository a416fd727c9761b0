package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/suites/wire"
)

// ScriptOptions of a scripted peer. Zero fields take the defaults.
type ScriptOptions struct {
	Address Address // default: Of(nic, ScriptHost)
	// Ports are the script's when it shares the address of a Stack, which then answers
	// ARP, Neighbour Discovery and echo requests. It must be joined before the Stack.
	// Empty: the address is its own.
	Ports []uint16
}

// Script is a peer that sends what it is told, and takes what comes. It answers ARP,
// Neighbour Discovery and echo requests by itself, TCP only by the policies of its
// connections. Its owner ends it with Close.
type Script struct {
	host  *host
	nic   *wire.NIC
	ports []uint16

	mu    sync.Mutex
	conns map[wire.Flow]*Conn // Peer is ours, Guest the other
	inbox inbox
	shut  bool
}

// maxInbox bounds what waits for Expect; beyond, the oldest is lost.
const maxInbox = 4096

// inbox is what came and was not asked for yet. It is guarded by the script's lock.
type inbox struct {
	packets []wire.Packet
	lost    int
	more    chan struct{} // closed and renewed when there is something
}

func (b *inbox) put(p wire.Packet) {
	if len(b.packets) >= maxInbox {
		b.packets = b.packets[1:]
		b.lost++
	}
	b.packets = append(b.packets, p)
	b.wake()
}

func (b *inbox) wake() {
	if b.more != nil {
		close(b.more)
	}
	b.more = make(chan struct{})
}

// NewScript puts a scripted peer behind the cable of a NIC.
func NewScript(nic *wire.NIC, o ScriptOptions) (*Script, error) {
	if o.Address == (Address{}) {
		o.Address = Of(nic.Number(), ScriptHost)
	}
	s := &Script{nic: nic, ports: o.Ports, host: newHost(o.Address, nic.Send, len(o.Ports) > 0), conns: map[wire.Flow]*Conn{}}
	s.inbox.wake()
	return s, nic.Join(s)
}

// Address is who the script is.
func (s *Script) Address() Address { return s.host.Address }

// Know tells the script who has an address, so that it need not ask.
func (s *Script) Know(a netip.Addr, mac wire.MAC) { s.host.learn(a, mac) }

// Takes is of a wire.Station.
func (s *Script) Takes(p *wire.Packet) bool {
	return p.EtherDst == s.host.MAC && (len(s.ports) == 0 || p.IsTCP && slices.Contains(s.ports, p.TCP.DstPort))
}

// Receive is of a wire.Station.
func (s *Script) Receive(frame []byte) {
	var p wire.Packet
	p.Decode(frame)
	if p.EtherDst != s.host.MAC && p.EtherDst[0]&1 == 0 || s.host.take(&p, frame) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return
	}
	if p.IsTCP {
		if c := s.conns[p.Flow(wire.FromGuest)]; c != nil {
			c.take(&p)
			c.inbox.put(p)
			return
		}
	}
	s.inbox.put(p)
}

// Send sends a packet. What it leaves out is filled in: the MACs, the address that
// sends, the kinds. ctx bounds the search for the receiver's MAC.
func (s *Script) Send(ctx context.Context, p wire.Packet) error {
	if !p.Dst.IsValid() {
		return errors.New("a packet without a receiver: set Dst")
	}
	if p.EtherDst == (wire.MAC{}) {
		mac, err := s.host.resolve(ctx, p.Dst)
		if err != nil {
			return err
		}
		p.EtherDst = mac
	}
	if p.EtherSrc == (wire.MAC{}) {
		p.EtherSrc = s.host.MAC
	}
	if !p.Src.IsValid() {
		p.Src = s.host.of(p.Dst)
	}
	if p.Src.Is4() != p.Dst.Is4() {
		return fmt.Errorf("packet from %v to %v: want addresses of one kind", p.Src, p.Dst)
	}
	if p.EtherType == 0 {
		p.EtherType = etherType(p.Dst)
	}
	if p.IsTCP {
		p.Proto = wire.ProtoTCP
	}
	s.nic.Send(p.Append(nil))
	return nil
}

// SendFrame sends bytes as they are.
func (s *Script) SendFrame(frame []byte) { s.nic.Send(frame) }

// Expect waits for a packet to the script that is no connection's and that match
// likes; nil likes all. What came before it and was not liked is passed over. The
// error tells what that was.
func (s *Script) Expect(ctx context.Context, match func(*wire.Packet) bool) (wire.Packet, error) {
	return s.expect(ctx, &s.inbox, match)
}

func (s *Script) expect(ctx context.Context, box *inbox, match func(*wire.Packet) bool) (wire.Packet, error) {
	var other []string
	for {
		s.mu.Lock()
		for len(box.packets) > 0 {
			p := box.packets[0]
			box.packets = box.packets[1:]
			if match == nil || match(&p) {
				s.mu.Unlock()
				return p, nil
			}
			if len(other) < 10 {
				other = append(other, Line(&p))
			}
		}
		more, shut := box.more, s.shut
		s.mu.Unlock()
		if shut {
			return wire.Packet{}, fmt.Errorf("the script has ended: %w", net.ErrClosed)
		}
		select {
		case <-more:
		case <-ctx.Done():
			seen := "nothing came"
			if len(other) > 0 {
				seen = "there came only:\n\t" + strings.Join(other, "\n\t")
			}
			return wire.Packet{}, fmt.Errorf("no such packet: %w; %s", context.Cause(ctx), seen)
		}
	}
}

// Line is a packet on one line, for people.
func Line(p *wire.Packet) string {
	if !p.IsTCP {
		return fmt.Sprintf("%v > %v, protocol %d, %d bytes %s", p.Src, p.Dst, p.Proto, len(p.Payload), p.Malformed)
	}
	t := &p.TCP
	s := fmt.Sprintf("%v > %v: %v seq %d", netip.AddrPortFrom(p.Src, t.SrcPort), netip.AddrPortFrom(p.Dst, t.DstPort), t.Flags, t.Seq)
	if n := len(t.Payload); n > 0 {
		s += fmt.Sprintf("(%d)", n)
	}
	if t.Flags.Has(wire.ACK) {
		s += fmt.Sprintf(" ack %d", t.Ack)
	}
	s += fmt.Sprintf(" win %d", t.Window)
	if blocks := t.Options.SACK(); len(blocks) > 0 {
		s += fmt.Sprintf(" sack %v", blocks)
	}
	return s
}

// Close ends the script and what its connections still have to say. Nothing is sent.
func (s *Script) Close() error {
	s.mu.Lock()
	s.shut = true
	var conns []*Conn
	for _, c := range s.conns {
		conns = append(conns, c)
		c.inbox.wake()
	}
	s.inbox.wake()
	s.mu.Unlock()
	for _, c := range conns {
		c.stop()
	}
	return nil
}
