package tcp

import (
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	// restartOpens is what opens a guest's congestion window before, in segments.
	restartOpens = 60
	// restartFlight is what is outstanding when the timer runs out: the peer's window
	// has no room for more.
	restartFlight = 10
	// restartRest waits behind it.
	restartRest = 30
	// restartLimit is how long ACKs are late at most: longer than a first timeout takes.
	restartLimit = 5 * time.Second
	// A window that began again has grown by what was acknowledged since; one that was
	// given back is as large as before.
	restartMost = restartFlight + 3
	restoredMin = restartFlight + 6
)

// timeoutKind is why a retransmission timer runs out. The zero value is invalid.
type timeoutKind int

const (
	genuine  timeoutKind = iota + 1 // all that is outstanding was lost
	spurious                        // it came, and the ACKs are late
)

func (k timeoutKind) String() string {
	if k == genuine {
		return "genuine"
	}
	return "spurious"
}

// restartRound is a connection of R06.
type restartRound struct {
	stamps   bool // RFC 7323
	timeouts []timeoutKind
}

// restartRounds end with those in which what a kernel kept of a first timeout must not
// be taken for the second one's (FreeBSD D33979: a stale TF_PREVVALID).
var restartRounds = []restartRound{
	{true, []timeoutKind{genuine}},
	{false, []timeoutKind{genuine}},
	{true, []timeoutKind{spurious}},
	{false, []timeoutKind{spurious}},
	{true, []timeoutKind{spurious, genuine}},
	{false, []timeoutKind{spurious, genuine}},
}

func (r restartRound) String() string {
	s := "without time stamps"
	if r.stamps {
		s = "with time stamps"
	}
	return fmt.Sprintf("%s, %v", s, r.timeouts)
}

// restores says whether a stack must notice that a timeout was spurious. With time stamps
// both do (Eifel, RFC 3522). Without, Linux does by F-RTO (RFC 5682) with SACK; FreeBSD
// when the ACK comes within half a round-trip time of the retransmission (tcp_timer.c,
// t_badrxtwin), which a busy host can miss.
func (r restartRound) restores(os string) bool { return r.stamps || os == "linux" }

// restarts is R06: after a timeout the congestion window begins again with a segment or
// two, and is given back only when the timeout was for nothing.
func restarts() row {
	return row{
		name: "r06", layer: suites.Functional, timed: true, timeout: time.Minute,
		summary: "genuine and spurious timeouts, with time stamps and without: the window begins again, and is given back only after a spurious one",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Rounds: len(restartRounds), Run: restartRun, Look: restartLook, Uncounted: causes,
				Settings: map[string][]Setting{"linux": {{Name: "net.ipv4.tcp_slow_start_after_idle", Value: "0", Why: "tcp_output.c; a pause would close the window before the timeout does"}}}}
		},
	}
}

func restartRun(ctx context.Context, b *Bed) error {
	r, port := restartRounds[b.Round()], b.nextPort()
	if err := b.Cable.SetRules([]wire.Rule{restartPath}); err != nil {
		return err
	}
	size := b.segment(r.stamps)
	c, err := b.DialScriptAt(ctx, Active+Role(b.Round()%2), port, restartPeer(r.stamps), nil)
	if err != nil {
		return within(r.String(), err)
	}
	for _, kind := range r.timeouts {
		if err := c.timeout(ctx, kind, port, size); err != nil {
			return within(fmt.Sprintf("%v, %v timeout", r, kind), err)
		}
	}
	return within(r.String(), c.Close(ctx))
}

// restartPeer says what came twice (RFC 2883): else FreeBSD takes what it sent again for
// nothing, and was told of, for another loss.
func restartPeer(stamps bool) peer.ConnOptions {
	return peer.ConnOptions{Timestamps: stamps, Policy: peer.Policy{DSACK: true}}
}

// segment is what a full segment carries, in bytes.
func (b *Bed) segment(stamps bool) int64 {
	if stamps {
		return int64(b.MSS() - 12)
	}
	return int64(b.MSS())
}

// timeout has the guest's timer run out for a flight of segments, behind which others
// wait for the peer's window.
func (c *Conn) timeout(ctx context.Context, kind timeoutKind, port uint16, size int64) error {
	send := func(segments int64) error {
		if err := c.Send(ctx, segments*size, false); err != nil {
			return err
		}
		return c.Arrived(ctx)
	}
	if err := send(restartOpens); err != nil {
		return err
	}
	c.Script.SetWindow(uint16(restartFlight * size)) // told with what is acknowledged next
	if err := send(restartFlight); err != nil {
		return err
	}
	c.Script.SetWindow(65535)
	if err := c.bed.Cable.SetRules(restartRules(kind, port, c.Up.Size, size)); err != nil {
		return err
	}
	return send(restartFlight + restartRest)
}

// restartRules lose a flight that begins with byte from, or hold its ACKs back until the
// timer has run out.
func restartRules(kind timeoutKind, port uint16, from, size int64) []wire.Rule {
	flight := wire.Match{Dir: wire.FromGuest, Port: port, Data: true, Bytes: wire.Range{From: from, To: from + restartFlight*size}, Transmissions: []int{1}}
	if kind == genuine {
		return []wire.Rule{{Name: "the flight", Match: flight, Do: wire.Action{Drop: true}}, restartPath}
	}
	again := wire.Match{Dir: wire.FromGuest, Port: port, Data: true, Bytes: wire.Range{From: from, To: from + size}, Transmissions: []int{2}}
	return []wire.Rule{
		{Name: "late ACKs", Match: wire.Match{Dir: wire.ToGuest, Port: port, Limit: restartFlight}, Do: wire.Action{Hold: &wire.Hold{Until: &again, Limit: wire.Duration(restartLimit)}}},
		restartPath,
	}
}

// restartPath takes its time on the way to the peer alone: what the script has said, such
// as a window, is at the guest before that is told to send more.
var restartPath = wire.Rule{Name: "path", Match: wire.Match{Dir: wire.FromGuest}, Do: wire.Action{Delay: &wire.Delay{Fixed: wire.Duration(dropRTT), InOrder: true}}}

// restartLook wants each timeout to have been what it should be, and the window after it.
func restartLook(b *Bed, e *Evidence) error {
	r := restartRounds[b.Round()]
	s, size := e.Stream(b.Conns()[0]), b.segment(r.stamps)
	if s == nil {
		return fmt.Errorf("%v: the connection was not on the wire", r)
	}
	for i, kind := range r.timeouts {
		from := 1 + int64(i)*(restartOpens+2*restartFlight+restartRest)*size + (restartOpens+restartFlight)*size
		after, err := windowAfter(s, from, size)
		if err == nil {
			err = judgeRestart(kind, after, r.restores(b.T.Guest.OS()))
		}
		if err != nil {
			return within(fmt.Sprintf("%v, timeout %d, %v", r, i+1, kind), err)
		}
		name := fmt.Sprintf("%v_flight", kind)
		if r.stamps {
			name += "_ts"
		}
		b.Measure(name+"_segments", float64(after.flight))
	}
	return nil
}

// restart is what a guest did about a timeout.
type restart struct {
	lost   int   // segments of the flight that the wire lost
	resent int   // segments of it that were sent again
	flight int64 // segments outstanding when all of it had been acknowledged, before more was
}

// windowAfter finds the timeout of the flight that begins at from, and what the guest had
// outstanding when it was over.
func windowAfter(s *judge.Stream, from, size int64) (r restart, err error) {
	to := from + restartFlight*size
	timeouts := 0
	for i := range s.Sent {
		p := &s.Sent[i]
		if p.Start < from || p.Start >= to {
			continue
		}
		if p.Lost {
			r.lost++
		}
		if p.Again > 0 {
			r.resent++
		}
		if p.Reason == judge.RTO {
			timeouts++
		}
	}
	if timeouts == 0 {
		return r, latef("the timer did not run out: %s", resends(s))
	}
	over, next := reached(s, to), reached(s, to+1)
	if over == 0 {
		return r, fmt.Errorf("the flight was never acknowledged")
	}
	for i := range s.Sent {
		if p := &s.Sent[i]; next == 0 || p.At < next {
			r.flight = max(r.flight, (p.End-to+size-1)/size)
		}
	}
	return r, nil
}

// reached is when the guest heard that everything before end had come; 0: never.
func reached(s *judge.Stream, end int64) time.Duration {
	for i := range s.Heard {
		if h := &s.Heard[i]; !h.Lost && h.Ack >= end {
			return h.At
		}
	}
	return 0
}

// judgeRestart wants the window to have begun again after a genuine timeout, and to be
// as before after one that the stack must have taken for spurious.
func judgeRestart(kind timeoutKind, r restart, restores bool) error {
	switch {
	case kind == genuine && r.lost < restartFlight:
		return fmt.Errorf("the wire lost %d of %d segments", r.lost, restartFlight)
	case kind == spurious && r.lost > 0:
		return fmt.Errorf("the wire lost %d segments", r.lost)
	case kind == genuine && r.flight > restartMost:
		return suites.Failf("%d segments outstanding when %d were repaired one after the other: the congestion window did not begin again with 1 or 2 (RFC 5681 3.1)", r.flight, restartFlight)
	case kind == spurious && restores && r.flight < restoredMin:
		return latef("%d segments outstanding, when all ACKs had come late: the congestion window was not given back (RFC 3522, RFC 4015)", r.flight)
	}
	return nil
}
