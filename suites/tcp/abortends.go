package tcp

import (
	"context"
	"fmt"

	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// state is what a connection has when it is to end.
type state struct {
	name    string
	options peer.ConnOptions
	reach   func(*victim, context.Context) error
}

// ending is a way for a connection to end.
type ending struct {
	name string
	end  func(*victim, context.Context) error
	wait bool // the kernel ends it by itself, before the program closes its socket
}

// hush is a peer that acknowledges nothing by itself.
var hush = peer.Policy{Never: true}

// states are those of the matrix in which both ends have the connection.
var states = []state{
	{"unsent data", peer.ConnOptions{Window: 1000, Scale: -1, Policy: hush}, (*victim).unsent},
	{"unread data", peer.ConnOptions{}, (*victim).unread},
	{"data out of order", peer.ConnOptions{}, (*victim).outOfOrder},
	{"SACK holes", peer.ConnOptions{Policy: hush}, (*victim).holes},
	{"half-closed by the guest", peer.ConnOptions{}, (*victim).shut},
	{"half-closed by the peer", peer.ConnOptions{}, (*victim).shutByPeer},
}

var endings = []ending{
	{"reset by the peer", (*victim).reset, false},
	{"aborted by the guest", (*victim).abort, false},
	{"closed", (*victim).closed, false},
	{"timed out", (*victim).silence, true},
}

// unsent is data that the peer's window has no room for.
func (v *victim) unsent(ctx context.Context) error { return v.send(ctx, 8<<10) }

func (v *victim) send(ctx context.Context, bytes int64) error {
	var m guest.Moved
	if err := v.b.T.Guest.Call(ctx, guest.OpSend, guest.SendArgs{ID: v.id, Bytes: bytes, StallS: stall.Seconds()}, &m); err != nil {
		return within("send", err)
	}
	return moved("send", m, bytes)
}

const abortBytes = 1000 // the peer sends at once

// unread is data that no program reads.
func (v *victim) unread(ctx context.Context) error {
	v.peer.Write(make([]byte, abortBytes))
	return v.await(ctx, "the guest acknowledges", func(s *peer.State) bool { return s.Una == s.Next })
}

// outOfOrder is data behind a gap.
func (v *victim) outOfOrder(ctx context.Context) error {
	v.gap = true
	s := v.peer.State()
	v.peer.Send(wire.Segment{Flags: wire.ACK, Seq: s.Next + abortBytes, Payload: make([]byte, abortBytes)})
	_, err := v.peer.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Ack == s.Next })
	return within("data behind a gap is acknowledged", peersIf(ctx, err))
}

// holes are segments of which the peer has each other one.
func (v *victim) holes(ctx context.Context) error {
	size := v.b.MSS()
	if err := v.send(ctx, int64(8*size)); err != nil {
		return err
	}
	all := func(s *peer.State) bool { return len(s.Received) >= 8*size }
	if err := v.await(ctx, "8 segments come", all); err != nil {
		return err
	}
	s := v.peer.State()
	at := func(segment int) wire.Seq { return s.IRS + 1 + wire.Seq(segment*size) }
	t := wire.Segment{Flags: wire.ACK, Seq: s.Next, Ack: at(0)}
	t.Options.SetSACK(wire.Block{Start: at(1), End: at(2)}, wire.Block{Start: at(3), End: at(4)}, wire.Block{Start: at(5), End: at(6)})
	v.peer.Send(t)
	return nil
}

// shut ends what the guest sends.
func (v *victim) shut(ctx context.Context) error {
	if err := v.b.T.Guest.Call(ctx, guest.OpShut, guest.IDArgs{ID: v.id}, nil); err != nil {
		return within("half-close", err)
	}
	return v.await(ctx, "the guest's FIN comes", func(s *peer.State) bool { return s.FIN })
}

// shutByPeer ends what the peer sends.
func (v *victim) shutByPeer(ctx context.Context) error {
	v.peer.CloseWrite()
	return v.await(ctx, "the guest acknowledges the FIN", func(s *peer.State) bool { return s.Una == s.Next })
}

// await waits until the peer's end is as wanted.
func (v *victim) await(ctx context.Context, what string, is func(*peer.State) bool) error {
	return awaitState(ctx, v.peer, what, is)
}

func awaitState(ctx context.Context, c *peer.Conn, what string, is func(*peer.State) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
	defer cancel()
	for {
		if s := c.State(); is(&s) {
			return nil
		}
		if _, err := c.Expect(ctx, nil); err != nil {
			if s := c.State(); is(&s) {
				return nil
			}
			if context.Cause(ctx) == errStalled {
				return stallf("%s: not within %v", what, stall)
			}
			return peers(ctx, what, err)
		}
	}
}

// peersIf is peers without a name, and nil for nil.
func peersIf(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return peers(ctx, "the peer waits", err)
}

// reset is the peer's, with the number that RFC 5961 wants.
func (v *victim) reset(ctx context.Context) error {
	v.peer.Send(wire.Segment{Flags: wire.RST | wire.ACK, Seq: v.peer.State().Next})
	return nil
}

func (v *victim) abort(ctx context.Context) error { return v.close(ctx, true) }

// close closes the guest's socket. That the connection was reset is for some of them
// what has to be.
func (v *victim) close(ctx context.Context, abort bool) error {
	id := v.id
	if v.id = 0; id == 0 {
		return nil
	}
	return within("close", v.b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: id, Abort: abort}, nil))
}

// closed has the guest close, and the peer, too, when it has all. On Linux a reset then
// takes away the TIME_WAIT that would last a minute (RFC 1337).
func (v *victim) closed(ctx context.Context) error {
	before := v.peer.State()
	if err := v.close(ctx, false); err != nil {
		return err
	}
	v.peer.SetPolicy(peer.Policy{})
	v.peer.SetWindow(65535)
	v.peer.Ack()
	if err := v.await(ctx, "the guest ends its stream", func(s *peer.State) bool { return s.RST || s.FIN && s.RcvNext.From(s.IRS+1) > len(s.Received) }); err != nil {
		return err
	}
	if v.gap { // nothing may come behind a FIN
		v.peer.Write(make([]byte, 2*abortBytes))
	}
	if !finished(before) {
		v.peer.CloseWrite()
	}
	if err := v.await(ctx, "the guest acknowledges the FIN", func(s *peer.State) bool { return s.RST || s.Una == s.Next }); err != nil {
		return err
	}
	if v.b.T.Guest.OS() == "linux" {
		return v.reset(ctx)
	}
	return nil
}

// finished says whether the peer has sent its FIN.
func finished(s peer.State) bool { return int(s.Next-s.ISS-1) > len(s.Sent) }

// silence is a peer that is gone. The guest finds out by keepalives, or, on Linux while
// something is outstanding, by its user timeout.
func (v *victim) silence(ctx context.Context) error {
	v.peer.Forget()
	set := map[string]string{"keepalive": "1", "keepidle": "1", "keepintvl": "1", "keepcnt": "1"}
	if v.b.T.Guest.OS() == "linux" {
		set["user_timeout"] = "1000" // ms
	}
	return within("keepalive", v.b.T.Guest.Call(ctx, guest.OpOption, guest.OptionArgs{ID: v.id, Set: set}, nil))
}

// over takes away what both ends may still have.
func (v *victim) over(ctx context.Context) error {
	v.peer.Forget()
	return v.close(ctx, false)
}

// halfOpen are the ways to end for connections whose handshake is not complete.
var halfOpen = []struct {
	name string
	end  func(m *matrix, ctx context.Context, p *wire.Packet) error
}{
	{"reset by the peer", func(m *matrix, ctx context.Context, p *wire.Packet) error {
		return m.answer(ctx, p, wire.RST)
	}},
	{"the listener is closed", nil},
	{"timed out", func(*matrix, context.Context, *wire.Packet) error { return nil }},
}

// halfOpen leaves so many handshakes unfinished, and ends them.
func (m *matrix) halfOpen(ctx context.Context, count int, end func(*matrix, context.Context, *wire.Packet) error) error {
	for range count {
		port := m.nextPort()
		syn := wire.Segment{SrcPort: port, DstPort: m.at.Port(), Seq: wire.Seq(port) << 12, Flags: wire.SYN, Window: 65535}
		syn.Options.MSS = 1460
		if err := m.bed.Script.Send(ctx, wire.Packet{Dst: m.at.Addr(), IsTCP: true, TCP: syn}); err != nil {
			return err
		}
		p, err := m.bed.Script.Expect(ctx, func(p *wire.Packet) bool {
			return p.IsTCP && p.TCP.DstPort == port && p.TCP.Flags.Has(wire.SYN|wire.ACK)
		})
		if err != nil {
			return peers(ctx, "the guest answers a SYN", err)
		}
		if end != nil {
			if err := end(m, ctx, &p); err != nil {
				return err
			}
		}
	}
	if end != nil {
		return nil
	}
	if err := m.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: m.listener.ID}, nil); err != nil {
		return within("close of the listening socket", err)
	}
	return m.listen(ctx)
}

// answer sends a segment in answer to a SYN|ACK.
func (m *matrix) answer(ctx context.Context, p *wire.Packet, flags wire.Flags) error {
	t := wire.Segment{SrcPort: p.TCP.DstPort, DstPort: p.TCP.SrcPort, Seq: p.TCP.Ack, Ack: p.TCP.Seq + 1, Flags: flags, Window: 65535}
	if err := m.bed.Script.Send(ctx, wire.Packet{Dst: p.Src, IsTCP: true, TCP: t}); err != nil {
		return fmt.Errorf("answering a SYN|ACK: %w", err)
	}
	return nil
}
