package tcp

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// opening is the part of F06 that is about connections that do not stand yet. The
// segments come from ports of their own, by hand.
type opening struct {
	*matrix
	all   []*oddity
	calls sync.WaitGroup // of the guest that connects

	mu    sync.Mutex
	ended error // what came of them
}

const oddISN wire.Seq = 1_000_000

// watch sends the segments in the states LISTEN, CLOSED, SYN-RECEIVED and SYN-SENT, and
// completes handshakes that come of them.
func (o *opening) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer o.calls.Wait()
	defer cancel()
	for _, step := range []func(context.Context) error{o.connecting, o.received, o.strangers, o.complete} {
		if err := step(ctx); err != nil {
			return within("opening", err)
		}
	}
	for _, x := range o.all {
		x.to = o.bed.Cable.Now()
	}
	o.calls.Wait()
	return within("connect", o.ended)
}

// send sends an odd segment from a port.
func (o *opening) send(ctx context.Context, state string, kind oddKind, from, to uint16, next, ack wire.Seq) error {
	script := o.bed.Family.Of(o.bed.Script.Address())
	o.all = append(o.all, &oddity{state: state, kind: kind.name, from: o.bed.Cable.Now(),
		flow: wire.Flow{Guest: netip.AddrPortFrom(o.at.Addr(), to), Peer: netip.AddrPortFrom(script, from)}})
	for range oddTimes {
		t := kind.make(next, ack)
		t.SrcPort, t.DstPort, t.Window = from, to, 65535
		if err := o.bed.Script.Send(ctx, wire.Packet{Dst: o.at.Addr(), IsTCP: true, TCP: t}); err != nil {
			return err
		}
	}
	return nil
}

// strangers sends the segments to a port at which the guest listens, and to one at
// which it does not.
func (o *opening) strangers(ctx context.Context) error {
	for _, kind := range oddKinds {
		for state, port := range map[string]uint16{"LISTEN": o.at.Port(), "CLOSED": o.at.Port() ^ 1} {
			if err := o.send(ctx, state, kind, o.nextPort(), port, oddISN, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// received sends them behind a SYN that the guest has answered.
func (o *opening) received(ctx context.Context) error {
	for _, kind := range oddKinds {
		port := o.nextPort()
		syn := wire.Segment{SrcPort: port, DstPort: o.at.Port(), Seq: oddISN, Flags: wire.SYN, Window: 65535}
		if err := o.bed.Script.Send(ctx, wire.Packet{Dst: o.at.Addr(), IsTCP: true, TCP: syn}); err != nil {
			return err
		}
		p, err := o.bed.Script.Expect(ctx, func(p *wire.Packet) bool { return p.IsTCP && p.TCP.DstPort == port })
		if err != nil {
			return peers(ctx, "the guest answers a SYN", err)
		}
		if err := o.send(ctx, "SYN-RECEIVED", kind, port, o.at.Port(), oddISN+1, p.TCP.Seq+1); err != nil {
			return err
		}
	}
	return nil
}

// complete acknowledges the guest's SYNs for as long as is watched, once on each port.
func (o *opening) complete(ctx context.Context) error {
	over := errors.New("watched for long enough")
	watch, cancel := context.WithTimeoutCause(ctx, oddWatch, over)
	defer cancel()
	done := map[uint16]bool{}
	for {
		p, err := o.bed.Script.Expect(watch, func(p *wire.Packet) bool { return p.IsTCP && p.TCP.Flags.Has(wire.SYN|wire.ACK) })
		switch {
		case context.Cause(watch) == over:
			return nil
		case err != nil:
			return peers(ctx, "the peer watches", err)
		case done[p.TCP.DstPort]:
			continue
		}
		done[p.TCP.DstPort] = true
		if err := o.answer(ctx, &p, wire.ACK); err != nil {
			return err
		}
	}
}

// connecting has the guest open connections that the script does not answer, and sends
// the segments to them. The guest gives them up when they have been watched.
func (o *opening) connecting(ctx context.Context) error {
	b := o.bed
	for _, kind := range oddKinds {
		port := b.nextPort()
		args := guest.ConnectArgs{Network: b.Family.Network(), TimeoutS: (oddWatch + time.Second).Seconds(),
			Addr: netip.AddrPortFrom(b.Family.Of(b.Script.Address()), port).String()}
		o.calls.Go(func() {
			var s guest.Socket
			err := b.T.Guest.Call(ctx, guest.OpConnect, args, &s)
			if err == nil && s.ID != 0 { // both ends have opened it
				err = b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: s.ID, Abort: true}, nil)
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.ended = errors.Join(o.ended, err)
		})
		c, err := b.Script.Accept(ctx, port, peer.ConnOptions{SimplyListen: true, Policy: hush})
		if err != nil {
			return peers(ctx, "the guest's SYN comes", err)
		}
		c.Forget()
		if err := o.send(ctx, "SYN-SENT", kind, port, c.Remote.Port(), oddISN, c.State().IRS+1); err != nil {
			return err
		}
	}
	return nil
}
