package tcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	speedRounds = 5
	speedConns  = 200 // of a round
	speedTurns  = 400
	speedBytes  = 2 << 20 // each way
)

// speed is P03: what the guest's TCP can do when nothing holds it up. It is for
// comparison on the same host only: under emulation it counts the kernel's
// instructions.
func speed() row {
	return row{
		name: "p03", layer: suites.Functional, timed: true, timeout: 3 * time.Minute,
		summary: "connections a second, how late answers of one byte are, bytes a second each way: numbers for comparison",
		plan: func(Family, *suites.T) Plan {
			s := &speeds{}
			// What a round's last connections send again is another round's, where it has no beginning.
			return Plan{Stack: patient(), Script: &peer.ScriptOptions{}, Lenient: true, Rounds: speedRounds, Uncounted: resentCounts, Run: s.run, Look: s.look}
		},
	}
}

// speeds is an execution of P03. Of each kind there is a number for each round that the
// host did not hold up.
type speeds struct {
	connections, send, receive []float64 // 1/s
	turns                      []float64 // s, of all rounds

	turning, sending, receiving *Conn // of the round
}

func (s *speeds) run(ctx context.Context, b *Bed) error {
	if b.Round() == 0 {
		*s = speeds{}
	}
	if err := s.connect(ctx, b); err != nil {
		return within("connections", err)
	}
	if err := s.turn(ctx, b); err != nil {
		return within("turns", err)
	}
	for _, way := range []struct {
		name     string
		up, down int64
		conn     **Conn
	}{{"send", speedBytes, 0, &s.sending}, {"receive", 0, speedBytes, &s.receiving}} {
		c, err := b.Dial(ctx, Active, nil)
		if err == nil {
			err = c.Exchange(ctx, way.up, way.down)
		}
		if err == nil {
			err = c.Close(ctx)
		}
		if err != nil {
			return within(way.name, err)
		}
		*way.conn = c
	}
	return nil
}

// connect has the guest open connections, with a byte each way.
func (s *speeds) connect(ctx context.Context, b *Bed) error {
	far, err := (&churn{content: Content{Size: 1}}).serve(b)
	if err != nil {
		return err
	}
	far.setEnd("first")
	began := b.Cable.Now()
	args := guest.RoundsArgs{Network: b.Family.Network(), Addr: far.at.String(), Count: speedConns, Parallel: leakWorkers,
		Up: 1, Down: 1, End: "first", StallS: stall.Seconds()}
	err = b.rounds(ctx, args)
	ended := b.Cable.Now()
	if err = errors.Join(err, far.close()); err == nil && !b.held(began, ended) {
		s.connections = append(s.connections, speedConns/(ended-began).Seconds())
	}
	return err
}

// rounds has the guest make rounds, all of which must come to their end.
func (b *Bed) rounds(ctx context.Context, a guest.RoundsArgs) error {
	var r guest.Rounds
	if err := b.T.Guest.Call(ctx, guest.OpRounds, a, &r); err != nil {
		return within("rounds", err)
	}
	return judgeRounds(r, a.Count)
}

// judgeRounds wants so many to have come to their end.
func judgeRounds(r guest.Rounds, count int) error {
	switch {
	case len(r.Errnos) > 0:
		return suites.Failf("of %d connections some ended with an error: %v", count, r.Errnos)
	case r.Stalled > 0:
		return stallf("on %d of %d connections nothing moved for %v", r.Stalled, count, stall)
	case r.Done != count:
		return fmt.Errorf("the agent made %d of %d rounds", r.Done, count)
	}
	return nil
}

// turn sends a byte, waits until it comes back, and so on.
func (s *speeds) turn(ctx context.Context, b *Bed) error {
	c, err := b.DialScript(ctx, Passive, peer.ConnOptions{Policy: hush}, nil)
	if err != nil {
		return err
	}
	s.turning = c
	c.Down.Size = speedTurns
	c.Up = c.Down // it gives back what it gets
	ask := c.Down.Bytes()
	err = all(ctx, func(ctx context.Context) error {
		var m guest.Moved
		args := guest.EchoArgs{ID: c.ID, Bytes: speedTurns, StallS: stall.Seconds()}
		if err := b.T.Guest.Call(ctx, guest.OpEcho, args, &m); err != nil {
			return within("echo", err)
		}
		return moved("echo", m, speedTurns)
	}, func(ctx context.Context) error {
		for i := range ask {
			c.Script.Write(ask[i : i+1])
			if err := awaitState(ctx, c.Script, "a byte comes back", func(s *peer.State) bool { return len(s.Received) > i }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.Script.SetPolicy(peer.Policy{})
	c.Script.Ack()
	return c.finish(ctx)
}

// look takes the times from the wire.
func (s *speeds) look(b *Bed, e *Evidence) error {
	for _, c := range []*Conn{s.turning, s.sending, s.receiving} {
		if e.Stream(c) == nil {
			return fmt.Errorf("a connection was not on the wire")
		}
	}
	from, turns := turnTimes(e.Stream(s.turning), speedTurns)
	if len(turns) > 0 && !b.held(from, from+sum(turns)) {
		for _, t := range turns {
			s.turns = append(s.turns, t.Seconds())
		}
	}
	if from, took := sentIn(e.Stream(s.sending), speedBytes); took > 0 && !b.held(from, from+took) {
		s.send = append(s.send, speedBytes/took.Seconds())
	}
	if from, took := receivedIn(e.Stream(s.receiving), speedBytes); took > 0 && !b.held(from, from+took) {
		s.receive = append(s.receive, speedBytes/took.Seconds())
	}
	if b.Round() == speedRounds-1 {
		s.measure(b)
	}
	return nil
}

// measure notes what most rounds have a number for.
func (s *speeds) measure(b *Bed) {
	for name, of := range map[string][]float64{"connections_per_s": s.connections, "send_bytes_per_s": s.send, "receive_bytes_per_s": s.receive} {
		if len(of) > speedRounds/2 {
			b.Measure(name, median(of))
		}
	}
	if len(s.turns) > speedRounds/2*speedTurns {
		slices.Sort(s.turns)
		b.Measure("answer_p50_s", s.turns[len(s.turns)/2])
		b.Measure("answer_p99_s", s.turns[len(s.turns)*99/100])
	}
}

func sum(list []time.Duration) (all time.Duration) {
	for _, d := range list {
		all += d
	}
	return all
}

// turnTimes are how long after each byte that the guest got its answer was on the wire,
// and when the first came. Nil: not all are there.
func turnTimes(s *judge.Stream, bytes int) (from time.Duration, turns []time.Duration) {
	asked, answered := make([]time.Duration, bytes), make([]time.Duration, bytes)
	for i := range s.Heard {
		if h := &s.Heard[i]; h.End > h.Start && h.Start >= 1 && h.Start <= int64(bytes) && !h.Lost && asked[h.Start-1] == 0 {
			asked[h.Start-1] = h.At
		}
	}
	for i := range s.Sent {
		if x := &s.Sent[i]; x.End > x.Start && x.Start >= 1 && x.Start <= int64(bytes) && answered[x.Start-1] == 0 {
			answered[x.Start-1] = x.At
		}
	}
	for i := range asked {
		if asked[i] == 0 || answered[i] < asked[i] {
			return 0, nil
		}
		turns = append(turns, answered[i]-asked[i])
	}
	return asked[0], turns
}

// sentIn is when the first of so many bytes left the guest, and how long it was until
// the last one did.
func sentIn(s *judge.Stream, bytes int64) (from, took time.Duration) {
	for i := range s.Sent {
		x := &s.Sent[i]
		if from == 0 && x.Start == 1 && x.End > 1 {
			from = x.At
		}
		if x.End > bytes && x.Start <= bytes {
			return from, x.At - from
		}
	}
	return 0, 0
}

// receivedIn is when the guest got the first of so many bytes, and how long it was until
// it acknowledged the last one.
func receivedIn(s *judge.Stream, bytes int64) (from, took time.Duration) {
	for i := range s.Heard {
		if h := &s.Heard[i]; h.Start == 1 && h.End > 1 {
			from = h.At
			break
		}
	}
	for i := range s.Sent {
		if x := &s.Sent[i]; from > 0 && x.Ack > bytes {
			return from, x.At - from
		}
	}
	return 0, 0
}
