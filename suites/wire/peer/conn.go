package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// ConnOptions of a scripted connection. Zero fields take the defaults.
type ConnOptions struct {
	ISN          wire.Seq     // initial sequence number
	MSS          uint16       // offered; default 1460, with IPv6 1440
	Window       uint16       // given, as it is in segments; default 65535
	Scale        int          // of our window; below 0: none is offered. 0 offers a scale of 0
	NoSACK       bool         // do not offer it
	Timestamps   bool         // offer them
	Extra        wire.Options // what else the SYN has, FastOpen for instance
	Policy       Policy
	SimplyListen bool // Accept leaves the SYN unanswered, for the script to do it
}

// Conn is a connection of a script. What is sent is the script's affair alone: no
// window is looked at, and nothing is sent again.
type Conn struct {
	Local, Remote netip.AddrPort

	s      *Script
	inbox  inbox
	timers sync.WaitGroup

	// What follows is guarded by the script's lock.
	mac       wire.MAC
	options   ConnOptions
	policy    Policy
	open      bool
	iss, irs  wire.Seq
	una, next wire.Seq // what the guest has acknowledged; what we send next
	sent      []byte   // from byte 0
	received  content
	latest    wire.Range
	changed   bool // a byte came again and was another
	fin       bool
	finAt     int64
	reset     bool
	sack      bool // agreed upon
	stamps    bool
	echo      uint32
	mss       int // of the guest
	scale     uint8
	owed      int
	ticking   bool
	timer     *time.Timer
}

func (s *Script) newConn(local, remote netip.AddrPort, o ConnOptions) (*Conn, error) {
	if o.MSS == 0 {
		if o.MSS = 1460; remote.Addr().Is6() {
			o.MSS = 1440
		}
	}
	if o.Window == 0 {
		o.Window = 65535
	}
	c := &Conn{Local: local, Remote: remote, s: s, options: o, policy: o.Policy, iss: o.ISN, una: o.ISN, next: o.ISN, mss: 536}
	c.inbox.wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := wire.Flow{Guest: remote, Peer: local}
	if s.conns[key] != nil {
		return nil, fmt.Errorf("connection %v to %v: the script has it already", local, remote)
	}
	s.conns[key] = c
	return c, nil
}

// Dial opens a connection from a port to a guest, with a handshake.
func (s *Script) Dial(ctx context.Context, port uint16, to netip.AddrPort, o ConnOptions) (*Conn, error) {
	mac, err := s.host.resolve(ctx, to.Addr())
	if err != nil {
		return nil, err
	}
	c, err := s.newConn(netip.AddrPortFrom(s.host.of(to.Addr()), port), to, o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c.mac, c.stamps = mac, o.Timestamps
	c.send(wire.Segment{Flags: wire.SYN, Seq: o.ISN, Options: c.offer(nil)})
	c.next++
	s.mu.Unlock()
	p, err := c.Expect(ctx, func(p *wire.Packet) bool {
		return p.TCP.Flags.Has(wire.SYN|wire.ACK) && p.TCP.Ack == o.ISN+1 || p.TCP.Flags.Has(wire.RST)
	})
	if err == nil && p.TCP.Flags.Has(wire.RST) {
		err = errors.New("the guest refuses it")
	}
	if err != nil {
		c.Forget()
		return nil, fmt.Errorf("connecting to %v: %w", to, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.agree(&p.TCP)
	c.send(wire.Segment{Flags: wire.ACK, Seq: c.next})
	return c, nil
}

// Accept waits for the guest's SYN to a port and opens the connection, with a
// handshake.
func (s *Script) Accept(ctx context.Context, port uint16, o ConnOptions) (*Conn, error) {
	syn, err := s.Expect(ctx, func(p *wire.Packet) bool {
		return p.IsTCP && p.TCP.DstPort == port && p.TCP.Flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for a SYN to port %d: %w", port, err)
	}
	c, err := s.newConn(netip.AddrPortFrom(syn.Dst, port), netip.AddrPortFrom(syn.Src, syn.TCP.SrcPort), o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c.mac, c.stamps = syn.EtherSrc, o.Timestamps
	if c.agree(&syn.TCP); o.SimplyListen {
		s.mu.Unlock()
		return c, nil
	}
	answer := wire.Segment{Flags: wire.SYN | wire.ACK, Seq: o.ISN, Options: c.offer(&syn.TCP.Options)}
	c.send(answer)
	c.next++
	s.mu.Unlock()
	if _, err = c.Expect(ctx, func(p *wire.Packet) bool {
		if p.TCP.Flags&(wire.SYN|wire.ACK) == wire.SYN && p.TCP.Seq == syn.TCP.Seq { // it did not get our answer
			c.send(answer)
		}
		return p.TCP.Flags&(wire.SYN|wire.ACK) == wire.ACK && p.TCP.Ack == o.ISN+1
	}); err != nil {
		c.Forget()
		return nil, fmt.Errorf("waiting for the handshake's last acknowledgement: %w", err)
	}
	return c, nil
}

// offer makes the options of our SYN; of answers, those that the other has, too.
func (c *Conn) offer(other *wire.Options) wire.Options {
	o := c.options.Extra
	o.MSS = c.options.MSS
	o.SACKPermitted = !c.options.NoSACK && (other == nil || other.SACKPermitted)
	if c.options.Scale >= 0 && (other == nil || other.HasScale) {
		o.HasScale, o.Scale = true, uint8(c.options.Scale)
	}
	return o // time stamps are send's
}

// agree notes what the guest's SYN says.
func (c *Conn) agree(t *wire.Segment) {
	c.irs, c.open = t.Seq, true
	c.sack = t.Options.SACKPermitted && !c.options.NoSACK
	c.stamps = c.stamps && t.Options.HasTime
	c.echo = t.Options.TSVal
	if t.Options.HasScale && c.options.Scale >= 0 {
		c.scale = t.Options.Scale
	}
	if t.Options.MSS > 0 {
		c.mss = int(t.Options.MSS)
	}
	if n := len(t.Payload); n > 0 {
		c.received.add(0, t.Payload)
	}
}

// send fills in what every segment of the connection has. The script's lock is held.
func (c *Conn) send(t wire.Segment) {
	t.SrcPort, t.DstPort = c.Local.Port(), c.Remote.Port()
	if t.Flags.Has(wire.ACK) && t.Ack == 0 {
		t.Ack = c.rcvNext()
	}
	if t.Window == 0 {
		t.Window = c.options.Window
	}
	if c.stamps && t.Options.Raw == nil && !t.Options.HasTime {
		t.Options.HasTime, t.Options.TSEcr = true, c.echo
		t.Options.TSVal = uint32(time.Now().UnixMilli())
	}
	p := wire.Packet{
		EtherSrc: c.s.host.MAC, EtherDst: c.mac, EtherType: etherType(c.Remote.Addr()),
		Src: c.Local.Addr(), Dst: c.Remote.Addr(), Proto: wire.ProtoTCP, IsTCP: true, TCP: t,
	}
	c.s.nic.Send(p.Append(nil))
}

// Send sends a segment. Ports, the acknowledgement's number, window and time stamps
// that are zero are filled in; SendExactly fills in nothing.
func (c *Conn) Send(t wire.Segment) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.send(t)
}

// SendExactly sends a segment as it is, but for its ports. A window of 0 is one.
func (c *Conn) SendExactly(ctx context.Context, t wire.Segment) error {
	t.SrcPort, t.DstPort = c.Local.Port(), c.Remote.Port()
	return c.s.Send(ctx, wire.Packet{Src: c.Local.Addr(), Dst: c.Remote.Addr(), IsTCP: true, TCP: t})
}

// Write sends b in segments of the guest's size, at once.
func (c *Conn) Write(b []byte) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for part := range slices.Chunk(b, c.room()) {
		c.sent = append(c.sent, part...)
		c.send(wire.Segment{Flags: wire.ACK | wire.PSH, Seq: c.next, Payload: part})
		c.next += wire.Seq(len(part))
	}
	if len(b) > 0 { // what was owed went with it
		c.owed = 0
		c.untick()
	}
}

// room is how many bytes a segment of ours may carry.
func (c *Conn) room() int {
	if c.stamps {
		return max(1, c.mss-12)
	}
	return max(1, c.mss)
}

// Again sends bytes once more that were written before, in segments.
func (c *Conn) Again(r wire.Range) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if r.From < 0 || r.To <= r.From || r.To > int64(len(c.sent)) {
		return fmt.Errorf("bytes %d to %d were not sent before: there are %d", r.From, r.To, len(c.sent))
	}
	at := c.iss + 1 + wire.Seq(r.From)
	for part := range slices.Chunk(c.sent[r.From:r.To], c.room()) {
		c.send(wire.Segment{Flags: wire.ACK, Seq: at, Payload: part})
		at += wire.Seq(len(part))
	}
	return nil
}

// CloseWrite sends FIN.
func (c *Conn) CloseWrite() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.send(wire.Segment{Flags: wire.FIN | wire.ACK, Seq: c.next})
	c.next++
}

// Ack acknowledges all that came, with SACK by the policy.
func (c *Conn) Ack() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.acknowledge(nil)
}

// SetPolicy changes what is acknowledged from now on, SetWindow the window that is
// given; it is not told to the guest before something is sent.
func (c *Conn) SetPolicy(p Policy) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.policy = p
}

// SetWindow is told with SetPolicy. For a window of 0 take SendExactly.
func (c *Conn) SetWindow(w uint16) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.options.Window = w
}

// Expect waits for a segment of the connection as Script.Expect does for a packet.
// The connection's policy has acted on it already.
func (c *Conn) Expect(ctx context.Context, match func(*wire.Packet) bool) (wire.Packet, error) {
	p, err := c.s.expect(ctx, &c.inbox, match)
	if err != nil {
		return p, fmt.Errorf("%v: %w", c.Remote, err)
	}
	return p, nil
}

// Discard passes over what has come and nobody asked for: Expect then gives what comes
// from now on. A segment that is expected again may lie there from the first time.
func (c *Conn) Discard() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.inbox.packets = nil
}

// State is what a connection knows.
type State struct {
	ISS, IRS  wire.Seq     // initial sequence numbers, ours and the guest's
	Una, Next wire.Seq     // of what we sent: acknowledged; next
	RcvNext   wire.Seq     // of what the guest sends
	Received  []byte       // what came without a gap, from byte 0
	Have      []wire.Range // of what came at all
	Sent      []byte
	Changed   bool // a byte came again as another: the guest sent two contents
	FIN, RST  bool // the guest has sent one
	SACK      bool // agreed upon, as are
	Stamps    bool
	MSS       int // the guest's
	Scale     uint8
	Lost      int // segments that were not asked for in time: Expect cannot give them
}

// State gives what the connection knows now.
func (c *Conn) State() State {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return State{
		ISS: c.iss, IRS: c.irs, Una: c.una, Next: c.next, RcvNext: c.rcvNext(),
		Received: slices.Clone(c.received.data[:c.received.next()]), Have: slices.Clone(c.received.have), Sent: slices.Clone(c.sent),
		Changed: c.changed, FIN: c.fin, RST: c.reset, SACK: c.sack, Stamps: c.stamps, MSS: c.mss, Scale: c.scale, Lost: c.inbox.lost,
	}
}

// Forget takes the connection out of the script: what comes for it is then the
// script's. Nothing is sent.
func (c *Conn) Forget() {
	c.s.mu.Lock()
	delete(c.s.conns, wire.Flow{Guest: c.Remote, Peer: c.Local})
	c.s.mu.Unlock()
	c.stop()
}

// stop ends the timer and waits for it.
func (c *Conn) stop() {
	c.s.mu.Lock()
	c.policy = Policy{Never: true}
	c.untick()
	c.s.mu.Unlock()
	c.timers.Wait()
}
