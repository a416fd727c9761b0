package tcp

import (
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// retries pins how often Linux sends again before it gives up; FreeBSD always does 12
// times (tcp_timer.c, TCP_MAXRXTSHIFT).
const retries = 8

// backoff is R04: after some data nothing comes back any more. What is sent again is so
// after gaps that double; in the end the connection is given up, and the socket says
// ETIMEDOUT. doublings 0: to the end.
func backoff(name string, layer suites.Layer, doublings int, timeout time.Duration) row {
	what := fmt.Sprintf("%d gaps that double", doublings)
	if doublings == 0 {
		what = "gaps that double to the cap, and ETIMEDOUT in the end"
	}
	return row{
		name: name, layer: layer, timed: true, timeout: timeout,
		summary: "nothing comes back behind some data: " + what,
		plan: func(Family, *suites.T) Plan {
			h := hole{doublings: doublings}
			return Plan{Script: &peer.ScriptOptions{}, Tries: 2, Run: h.run, Look: h.look, Uncounted: causes,
				Settings: map[string][]Setting{"linux": {{Name: "net.ipv4.tcp_retries2", Value: fmt.Sprint(retries), Why: "tcp_timer.c; 15 take a quarter of an hour"}}}}
		},
	}
}

// hole is a connection behind which nothing answers any more.
type hole struct {
	doublings int
}

func (h *hole) run(ctx context.Context, b *Bed) error {
	port := b.nextPort()
	if err := b.Cable.SetRules([]wire.Rule{delayed(dropRTT)}); err != nil {
		return err
	}
	c, err := b.DialScriptAt(ctx, Active, port, peer.ConnOptions{}, nil)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, 4*int64(b.MSS()), false); err != nil { // samples of the round-trip time
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	hole := wire.Rule{Name: "hole", Match: wire.Match{Dir: wire.ToGuest, Port: port}, Do: wire.Action{Drop: true}}
	if err := b.Cable.SetRules([]wire.Rule{hole, delayed(dropRTT)}); err != nil {
		return err
	}
	last := c.Up.Size
	if err := c.Send(ctx, int64(b.MSS()), false); err != nil {
		return err
	}
	if h.doublings == 0 {
		return h.end(ctx, c)
	}
	want := c.Script.State().IRS + 1 + wire.Seq(last)
	for range h.doublings + 2 { // the first time, and one gap to double
		if _, err := c.Script.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Seq == want && len(p.TCP.Payload) > 0 }); err != nil {
			return peers(ctx, "the peer waits for what is sent again", err)
		}
	}
	return c.abort(ctx)
}

// end waits until the socket says why the connection is gone.
func (h *hole) end(ctx context.Context, c *Conn) error {
	var m guest.Moved
	args := guest.ReceiveArgs{ID: c.ID, Bytes: 1, StallS: c.bed.Until(time.Hour).Seconds() - 5}
	if err := c.bed.T.Guest.Call(ctx, guest.OpReceive, args, &m); err != nil {
		return within("wait for the end", err)
	}
	if m.Errno != "ETIMEDOUT" {
		return suites.Failf("nothing came back, and the socket says %q after %.0f s, want ETIMEDOUT", m.Errno, m.Duration)
	}
	return c.abort(ctx)
}

// abort closes the guest's end without a word that the peer could wait for.
func (c *Conn) abort(ctx context.Context) error {
	return within("abort", c.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: c.ID, Abort: true}, nil))
}

// look counts the gaps; that they doubled, the judge has seen.
func (h *hole) look(b *Bed, e *Evidence) error {
	s := e.Stream(b.Conns()[0])
	if s == nil {
		return fmt.Errorf("the connection was not on the wire")
	}
	n := s.Stats.Resends[judge.RTO]
	b.Measure("timeouts", float64(n))
	b.Measure("first_gap_s", gapAfter(s, 0).Seconds())
	b.Measure("last_gap_s", gapAfter(s, n-1).Seconds())
	if n < h.doublings+1 {
		return latef("%d timeouts, want %d: %s", n, h.doublings+1, resends(s))
	}
	most := map[string]int{"linux": retries, "freebsd": 12}[b.T.Guest.OS()]
	if h.doublings == 0 && (n < most-1 || n > most+1) {
		return suites.Failf("sent again %d times before it was given up, want %d", n, most)
	}
	return nil
}

// gapAfter is the time between two of the timer's turns: the i-th and what was sent
// before.
func gapAfter(s *judge.Stream, i int) time.Duration {
	var before time.Duration
	for k := range s.Sent {
		p := &s.Sent[k]
		if p.Reason == judge.RTO {
			if i--; i < 0 {
				return p.At - before
			}
		}
		if p.End > p.Start {
			before = p.At
		}
	}
	return 0
}
