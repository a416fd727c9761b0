package tcp

import (
	"context"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// exchangeBytes go each way.
const exchangeBytes = 1 << 20

// exchange is F01: a connection in each role carries 1 MiB each way at once, and
// nothing is sent again on a wire that loses nothing.
func exchange() row {
	return row{
		name: "f01", layer: suites.Smoke, timeout: 30 * time.Second,
		summary: "connect and accept, 1 MiB each way: every byte, no retransmission, valid checksums",
		plan: func(Family, *suites.T) Plan {
			return Plan{Stack: patient(), Lenient: true, Tries: 3, Run: exchangeBoth, Look: func(_ *Bed, e *Evidence) error { return noneAgain(e) }}
		},
	}
}

// patient is a peer that sends nothing again because its host stopped for a moment:
// FreeBSD takes such duplicates of data for duplicate ACKs, and sends again itself.
func patient() *peer.StackOptions { return &peer.StackOptions{MinRTO: 3 * wire.Second} }

func exchangeBoth(ctx context.Context, b *Bed) error {
	for _, role := range []Role{Active, Passive} {
		began := b.Cable.Now()
		if err := exchangeOnce(ctx, b, role); err != nil {
			return within(role.String(), err)
		}
		b.Measure(role.String()+"_s", (b.Cable.Now() - began).Seconds())
	}
	return nil
}

func exchangeOnce(ctx context.Context, b *Bed, role Role) error {
	c, err := b.Dial(ctx, role, nil)
	if err != nil {
		return err
	}
	if err := c.Exchange(ctx, exchangeBytes, exchangeBytes); err != nil {
		return err
	}
	return c.Close(ctx)
}

// waiting are reasons to send again that mean that something came late. On a wire
// that loses nothing that is the host's fault, for the judge has found no fault with
// the guest's timers.
var waiting = []judge.Reason{judge.RTO, judge.GoBackN, judge.TLP, judge.SYN, judge.SYNACK}

// noneAgain wants nothing to be sent again, on a wire that loses nothing.
func noneAgain(e *Evidence) error {
	for _, s := range e.Streams {
		if s.Stats.Resent() == 0 {
			continue
		}
		late := 0
		for _, r := range waiting {
			late += s.Stats.Resends[r]
		}
		if late == s.Stats.Resent() {
			return slowf("stream %d: %d segments were sent again because answers came late: the host was too slow", s.N, late)
		}
		return latef("stream %d: %d segments were sent again on a wire that loses nothing", s.N, s.Stats.Resent())
	}
	return nil
}
