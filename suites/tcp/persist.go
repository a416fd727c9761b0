package tcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	persistWindow   = 6 // segments
	persistAbove    = 8 // further segments that the guest has to send
	persistClosed   = 30 * time.Second
	persistPeerData = 100 // bytes that come with the closed window
	persistResume   = time.Second
)

// persistTimer is how a stack times the probes of a closed window.
type persistTimer struct {
	least, first time.Duration // no gap is shorter than least; the first is at most first
	// floor: what would be shorter than least is drawn out to it. So gaps need not double
	// while they are least.
	floor  bool
	probes int // that at least have to come while the window is closed
}

// persistTimers are those of the stacks' defaults on a short path. By RFC 9293, section
// 3.8.6.1, the interval should increase exponentially.
var persistTimers = map[string]persistTimer{
	// netinet/tcp_output.c, tcp_setpersist: (SRTT/4 + RTTVAR)/2 × 2^n, within
	// net.inet.tcp.persmin and persmax.
	"freebsd": {least: 5 * time.Second, first: 5 * time.Second, floor: true, probes: 2},
	// net/ipv4/tcp_timer.c, tcp_probe_timer; include/net/tcp.h, tcp_probe0_base: the
	// retransmission timeout × 2^n.
	"linux": {least: 200 * time.Millisecond, first: time.Second, probes: 4},
}

// persist is F07: the peer closes its window, with data of its own, and opens it after
// half a minute.
func persist() row {
	return row{
		name: "f07", layer: suites.Functional, timed: true, timeout: 4 * time.Minute,
		summary: "a window that is full, then closed for 30 s: probes that back off, then every byte",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Run: persistRun, Look: persistLook,
				Uncounted: []judge.Counter{judge.ResentSegments, judge.ResentBytes, judge.Probes}, // a probe's byte is sent again as data
				Settings: map[string][]Setting{"freebsd": {
					{Name: "net.inet.tcp.persmin", Value: "5000", Why: "tcp_timer.c, TCPTV_PERSMIN"},
					{Name: "net.inet.tcp.persmax", Value: "60000", Why: "tcp_timer.c, TCPTV_PERSMAX"},
				}}}
		},
	}
}

func persistRun(ctx context.Context, b *Bed) error {
	full := persistWindow * b.MSS()
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{Window: uint16(full), Scale: -1, Policy: hush}, nil)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, int64(full+persistAbove*b.MSS()), false); err != nil {
		return err
	}
	if err := awaitState(ctx, c.Script, "the window is filled", func(s *peer.State) bool { return len(s.Received) >= full }); err != nil {
		return err
	}
	c.Down.Size = persistPeerData
	c.Script.SetWindow(0)
	c.Script.Write(c.Down.Bytes())
	if err := c.Receive(ctx, 0, persistPeerData); err != nil {
		return within("what came with the closed window", err)
	}
	if err := answerProbes(ctx, c.Script, wire.Seq(full)); err != nil {
		return err
	}
	c.Script.SetPolicy(peer.Policy{})
	c.Script.SetWindow(65535)
	c.Script.Ack()
	if err := c.Arrived(ctx); err != nil {
		return within("the window is open again", err)
	}
	return c.Close(ctx)
}

// answerProbes says for as long as the window is to be closed that it is, to each probe:
// what lies beyond so many bytes, or before them.
func answerProbes(ctx context.Context, c *peer.Conn, bytes wire.Seq) error {
	over := errors.New("it is time to open it")
	ctx, cancel := context.WithTimeoutCause(ctx, persistClosed, over)
	defer cancel()
	edge := c.State().IRS + 1 + bytes
	for {
		p, err := c.Expect(ctx, nil)
		switch {
		case err == nil && p.TCP.Flags.Has(wire.RST):
			return suites.Failf("the guest reset a connection whose window is closed")
		case err == nil:
			if p.TCP.Len() > 0 || p.TCP.Seq.Less(edge) {
				c.Send(wire.Segment{Flags: wire.ACK, Seq: c.State().Next, Ack: edge})
			}
		case context.Cause(ctx) == over:
			return nil
		default:
			return peers(ctx, "the peer answers probes", err)
		}
	}
}

func persistLook(b *Bed, e *Evidence) error {
	s := e.Stream(b.Conns()[0])
	timer, ok := persistTimers[b.T.Guest.OS()]
	if s == nil || !ok {
		return fmt.Errorf("no stream, or no timers of %s are known", b.T.Guest.OS())
	}
	p := probing(s)
	b.Measure("probes", float64(len(p.at)))
	if err := p.judge(timer, &e.Profile); err != nil {
		return err
	}
	b.Measure("first_probe_s", (p.at[0] - p.closed).Seconds())
	b.Measure("resumed_s", (p.resumed - p.opened).Seconds())
	return nil
}

// probes is what happened on a stream around a closed window. Times are the guest's end
// of the wire's; 0: never.
type probes struct {
	closed, opened, resumed time.Duration
	at                      []time.Duration
}

// probing finds the closing, what probed it, and what came of the opening.
func probing(s *judge.Stream) (p probes) {
	var edge int64
	for i := range s.Heard {
		switch h := &s.Heard[i]; {
		case h.Lost || h.Flags&(wire.SYN|wire.RST) != 0:
		case p.closed == 0 && h.Edge <= h.Ack:
			p.closed, edge = h.At, h.Ack
		case p.closed > 0 && p.opened == 0 && h.Edge > h.Ack:
			p.opened = h.At
		}
	}
	for i := range s.Sent {
		switch x := &s.Sent[i]; {
		case p.closed == 0 || x.At <= p.closed:
		case p.opened > 0 && x.At > p.opened:
			if p.resumed == 0 && x.End-x.Start > 1 {
				p.resumed = x.At
			}
		case x.Start == edge-1 && x.End <= edge, x.Start == edge && x.End == edge+1:
			p.at = append(p.at, x.At)
		}
	}
	return p
}

// judge judges the gaps between probes, and that all goes on.
func (p *probes) judge(t persistTimer, profile *judge.Profile) error {
	if p.closed == 0 || p.opened == 0 {
		return fmt.Errorf("the window's closing or opening is not in the trace")
	}
	slack := profile.LateSlack + profile.Reaction
	if len(p.at) < t.probes {
		return latef("%d probes of a window that was closed for %.1f s, want %d at least", len(p.at), (p.opened - p.closed).Seconds(), t.probes)
	}
	last, before := p.closed, time.Duration(0)
	for i, at := range p.at {
		gap := at - last
		low, high := t.least-t.least/10, t.first+t.first/2
		if i > 0 {
			low, high = before*17/10, before*3
			if t.floor && before < t.least+t.least/5 {
				low = t.least - t.least/10
			}
		}
		if gap < low-slack || gap > high+slack {
			return latef("probe %d of a closed window came %.3f s after what was before it, want %.3f to %.3f s: probes back off by doubling",
				i+1, gap.Seconds(), max(0, (low-slack).Seconds()), (high + slack).Seconds())
		}
		last, before = at, gap
	}
	switch wait := p.resumed - p.opened; {
	case p.resumed == 0:
		return suites.Failf("the window was opened, and nothing more was sent")
	case wait > persistResume:
		return latef("the window was opened, and the first segment came %.3f s later, want %v at most", wait.Seconds(), persistResume)
	}
	return nil
}
