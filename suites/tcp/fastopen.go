package tcp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// tfoBytes are in a SYN.
const tfoBytes = 100

// tfoSettings have a kernel that knows TCP Fast Open (RFC 7413) take it.
var tfoSettings = map[string]Setting{
	"freebsd": {Name: "net.inet.tcp.fastopen.server_enable", Value: "1", Optional: true, Why: "tcp_fastopen.c, options TCP_RFC7413"},
	"linux":   {Name: "net.ipv4.tcp_fastopen", Value: "3", Optional: true, Why: "both ends; by default the client's only"},
}

// fastOpen is the part of F08 about data in SYNs.
func fastOpen() row {
	return row{
		name: "f08_tfo", layer: suites.Functional, timeout: time.Minute,
		summary: "TCP Fast Open: a cookie when one is asked for; data in a SYN are taken with it, and with none or a forged one only when the handshake is complete",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: openFast,
				Settings: map[string][]Setting{"freebsd": {tfoSettings["freebsd"]}, "linux": {tfoSettings["linux"]}}}
		},
	}
}

// canOpenFast is a skip when the kernel has no TCP Fast Open.
func canOpenFast(ctx context.Context, g suites.Guest) error {
	s, ok := tfoSettings[g.OS()]
	if !ok {
		return suites.Skipf("how TCP Fast Open is switched on is not known of %s", g.OS())
	}
	now, err := readSettings(ctx, g, []Setting{s})
	if err == nil && now[s.Name] != s.Value {
		return suites.Skipf("this kernel has no TCP Fast Open: no setting %s (%s)", s.Name, s.Why)
	}
	return err
}

// fast opens connections with data in the SYN.
type fast struct {
	*matrix
	content []byte
}

func openFast(ctx context.Context, b *Bed) error {
	if err := canOpenFast(ctx, b.T.Guest); err != nil {
		return err
	}
	f := &fast{matrix: &matrix{bed: b}, content: Content{Size: tfoBytes}.Bytes()}
	if err := f.listenFast(ctx); err != nil {
		return err
	}
	cookie, err := f.ask(ctx)
	if err != nil {
		return within("a cookie is asked for", err)
	}
	forged := append([]byte(nil), cookie...)
	forged[0] ^= 0x80
	for _, way := range []struct {
		name   string
		cookie []byte
		taken  bool
	}{{"with its cookie", cookie, true}, {"with a forged cookie", forged, false}, {"without a cookie", nil, false}} {
		if err := f.connect(ctx, way.cookie, way.taken); err != nil {
			return within(way.name, err)
		}
	}
	return within("close of the listening socket", b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: f.listener.ID}, nil))
}

// listenFast has the guest listen for data in SYNs.
func (f *fast) listenFast(ctx context.Context) (err error) {
	args := guest.ListenArgs{Network: f.bed.Family.Network(), Addr: netip.AddrPortFrom(f.bed.Family.Of(f.bed.Guest()), 0).String(), Backlog: 256,
		Options: map[string]string{"fastopen": "256"}}
	if err := f.bed.T.Guest.Call(ctx, guest.OpListen, args, &f.listener); err != nil {
		return within("listen", err)
	}
	if f.listener.Errno != "" {
		return suites.Failf("listen with TCP_FASTOPEN: %s", f.listener.Errno)
	}
	if f.at, err = netip.ParseAddrPort(f.listener.Local); err != nil {
		return fmt.Errorf("the agent listens at %q", f.listener.Local)
	}
	return nil
}

// syn sends a SYN and gives what the guest answers.
func (f *fast) syn(ctx context.Context, cookie, data []byte) (wire.Packet, error) {
	port := f.nextPort()
	t := wire.Segment{SrcPort: port, DstPort: f.at.Port(), Seq: closingISN, Flags: wire.SYN, Window: 65535, Payload: data}
	t.Options.MSS, t.Options.FastOpen = 1400, cookie
	if err := f.bed.Script.Send(ctx, wire.Packet{Dst: f.at.Addr(), IsTCP: true, TCP: t}); err != nil {
		return wire.Packet{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
	defer cancel()
	p, err := f.bed.Script.Expect(ctx, func(p *wire.Packet) bool { return p.IsTCP && p.TCP.DstPort == port })
	switch {
	case err != nil && context.Cause(ctx) == errStalled:
		return p, stallf("the SYN is not answered within %v", stall)
	case err != nil:
		return p, peers(ctx, "the guest answers a SYN", err)
	case p.TCP.Flags.Has(wire.RST) || !p.TCP.Flags.Has(wire.SYN|wire.ACK):
		return p, suites.Failf("the SYN is answered by %s", peer.Line(&p))
	}
	return p, nil
}

// ask gets a cookie.
func (f *fast) ask(ctx context.Context) ([]byte, error) {
	p, err := f.syn(ctx, []byte{}, nil)
	if err != nil {
		return nil, err
	}
	if err := judgeCookie(p.TCP.Options.FastOpen); err != nil {
		return nil, err
	}
	return p.TCP.Options.FastOpen, f.matrix.answer(ctx, &p, wire.RST)
}

// judgeCookie wants one of RFC 7413, section 4.1.1.
func judgeCookie(cookie []byte) error {
	switch {
	case cookie == nil:
		return suites.Failf("the SYN|ACK has none")
	case len(cookie) < 4 || len(cookie) > 16 || len(cookie)%2 != 0:
		return suites.Failf("a cookie of %d bytes came, want 4 to 16, and an even number", len(cookie))
	}
	return nil
}

// judgeTaken wants the data of a SYN to be acknowledged when they had to be taken, and
// only then.
func judgeTaken(ack wire.Seq, taken bool) error {
	switch acked := ack.From(closingISN + 1); {
	case taken && acked != tfoBytes:
		return suites.Failf("the SYN|ACK acknowledges %d bytes of data, want %d: the cookie is right", acked, tfoBytes)
	case !taken && acked != 0:
		return suites.Failf("the SYN|ACK acknowledges %d bytes of data, and the cookie does not allow any", acked)
	}
	return nil
}

// connect opens a connection with data in its SYN, and looks that the program gets them
// once: before the handshake is complete when they were taken.
func (f *fast) connect(ctx context.Context, cookie []byte, taken bool) error {
	p, err := f.syn(ctx, cookie, f.content)
	if err != nil {
		return err
	}
	if err := judgeTaken(p.TCP.Ack, taken); err != nil {
		return err
	}
	if !taken {
		if err := f.matrix.answer(ctx, &p, wire.ACK); err != nil {
			return err
		}
		t := wire.Segment{SrcPort: p.TCP.DstPort, DstPort: p.TCP.SrcPort, Seq: closingISN + 1, Ack: p.TCP.Seq + 1, Flags: wire.ACK | wire.PSH, Window: 65535, Payload: f.content}
		if err := f.bed.Script.Send(ctx, wire.Packet{Dst: p.Src, IsTCP: true, TCP: t}); err != nil {
			return err
		}
	}
	var s guest.Socket
	if err := f.bed.T.Guest.Call(ctx, guest.OpAccept, guest.AcceptArgs{ID: f.listener.ID, TimeoutS: stall.Seconds()}, &s); err != nil {
		return within("accept", err)
	}
	if s.TimedOut || s.Errno != "" {
		return stallf("accept: nothing came of it in %.1f s %s", s.Duration, s.Errno)
	}
	var m guest.Moved
	if err := f.bed.T.Guest.Call(ctx, guest.OpReceive, guest.ReceiveArgs{ID: s.ID, Bytes: tfoBytes, StallS: stall.Seconds()}, &m); err != nil {
		return within("receive", err)
	}
	if err := moved("receive", m, tfoBytes); err != nil {
		return err
	}
	if taken {
		if err := f.matrix.answer(ctx, &p, wire.ACK); err != nil {
			return err
		}
	}
	return within("close", f.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: s.ID, Abort: true}, nil))
}
