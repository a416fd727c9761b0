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

// handshakeLost is how many SYNs, or answers to one, are lost.
const handshakeLost = 3

// handshake is R08: the guest's first SYNs are lost, then its first answers to one. It
// sends them again after 1, 2 and 4 seconds, and the connection opens and works.
func handshake() row {
	return row{
		name: "r08", layer: suites.Functional, timed: true, timeout: time.Minute,
		summary: "the first 3 SYNs lost, then the first 3 SYN|ACKs: sent again after 1, 2, 4 s, and the connection works",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Tries: 2, Rounds: 2, Run: shake, Look: shaken, Uncounted: causes}
		},
	}
}

// shaking is a round's role of the guest, and what of its is lost.
func shaking(round int) (Role, wire.Flags, wire.Flags) {
	if round == 0 {
		return Active, wire.SYN, wire.ACK
	}
	return Passive, wire.SYN | wire.ACK, 0
}

func shake(ctx context.Context, b *Bed) error {
	port := b.nextPort()
	role, set, clear := shaking(b.Round())
	lose := wire.Rule{Name: fmt.Sprintf("the first %d %v", handshakeLost, set), Do: wire.Action{Drop: true},
		Match: wire.Match{Dir: wire.FromGuest, Port: port, Set: set, Clear: clear, Limit: handshakeLost}}
	if err := b.Cable.SetRules([]wire.Rule{lose, delayed(dropRTT)}); err != nil {
		return err
	}
	c, err := shakeHands(ctx, b, role, port)
	if err != nil {
		return within(role.String(), err)
	}
	if err := c.Send(ctx, 4*int64(b.MSS()), false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return c.Close(ctx)
}

// handshakeLimit is how long a handshake may take whose first three segments are lost:
// 1 + 2 + 4 s and as much again.
const handshakeLimit = 15 * time.Second

// shakeHands opens the connection, and says when that takes too long: the peer sends
// nothing again.
func shakeHands(ctx context.Context, b *Bed, role Role, port uint16) (*Conn, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, handshakeLimit, errStalled)
	defer cancel()
	c, err := b.DialScriptAt(bounded, role, port, peer.ConnOptions{}, nil)
	if err != nil && context.Cause(bounded) == errStalled {
		return nil, stallf("the handshake is not complete after %v, and what was lost of it does not come again", handshakeLimit)
	}
	return c, err
}

// shaken measures the gaps.
func shaken(b *Bed, e *Evidence) error {
	role, _, _ := shaking(b.Round())
	s := e.Stream(b.Conns()[0])
	if s == nil {
		return fmt.Errorf("%s: the connection was not on the wire", role)
	}
	want := map[Role]judge.Reason{Active: judge.SYN, Passive: judge.SYNACK}[role]
	if n := s.Stats.Resends[want]; n != handshakeLost {
		return latef("%s: %d were sent again because of their timer, want %d: %s", role, n, handshakeLost, resends(s))
	}
	var before time.Duration
	for i, n := 0, 0; i < len(s.Sent) && n <= handshakeLost; i++ {
		p := &s.Sent[i]
		if p.Flags.Has(wire.SYN) {
			if n > 0 {
				gap, due := p.At-before, time.Second<<(n-1)
				b.Measure(fmt.Sprintf("%s_gap_%d_s", role, n), gap.Seconds())
				if gap < due-due/4 || gap > due+due/2+lateHandshake {
					return latef("%s: number %d came %.2f s after the one before, want %v", role, n+1, gap.Seconds(), due)
				}
			}
			before, n = p.At, n+1
		}
	}
	return nil
}

// lateHandshake is what a busy host may add.
const lateHandshake = 300 * time.Millisecond
