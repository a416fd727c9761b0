package tcp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// The paths of P02: each connection has one of its own. The window keeps what is
// outstanding below what link and queue hold, so that only the losses that were drawn
// are losses.
const (
	lossyRuns  = 10 // of each rate of loss
	lossySide  = 5  // of them side by side
	lossyRate  = 4_000_000
	lossyRTT   = 60 * time.Millisecond
	lossyQueue = 64 << 10
)

// lossyRates are how many of 1000 segments are lost. The rarer a loss, the more bytes.
var lossyRates = []struct {
	name    string // in the metrics
	perMill int
	bytes   int64
}{
	{"loss_0_1_pct", 1, 1 << 20}, {"loss_1_pct", 10, 512 << 10}, {"loss_3_pct", 30, 256 << 10},
}

// lossyPaths is P02: how long a transfer takes on a path that loses segments at random. The
// draws have fixed seeds, the same in each run of the case, and are of bytes of the
// stream: what two kernels do with the same losses can be compared.
func lossyPaths() row {
	return row{
		name: "p02", layer: suites.Functional, timed: true, timeout: 5 * time.Minute,
		summary: "0.1, 1 and 3 % of the segments lost by fixed seeds, 10 transfers each: the medians of how long they take, for comparison",
		plan: func(Family, *suites.T) Plan {
			l := &lossy{}
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Rounds: len(lossyRates) * lossyRuns / lossySide, Run: l.run, Look: l.look}
		},
	}
}

// lossy is an execution of P02.
type lossy struct {
	took  []float64 // s, of the transfers at this rate so far that the host did not hold up
	timer int       // segments that a timer sent again
}

// drawLosses says how often each of so many segments is lost; an absent one never is.
func drawLosses(perMill, seed, segments int) map[int]int {
	draw := rand.New(rand.NewPCG(uint64(perMill), uint64(seed)))
	lost := map[int]int{}
	for i := range segments {
		for draw.IntN(1000) < perMill {
			lost[i]++
		}
	}
	return lost
}

// lossRules lose the segments, by a byte in the middle of each, on a port of the
// script's, and are its path.
func lossRules(port uint16, lost map[int]int, segments, mss int) []wire.Rule {
	var rules []wire.Rule
	for i := range segments {
		var nth []int
		for n := range lost[i] {
			nth = append(nth, n+1)
		}
		if nth == nil {
			continue
		}
		at := int64(i*mss + mss/2)
		rules = append(rules, wire.Rule{Name: fmt.Sprintf("%d: segment %d", port, i+1), Do: wire.Action{Drop: true}, Match: wire.Match{
			Dir: wire.FromGuest, Port: port, Data: true, Bytes: wire.Range{From: at, To: at + 1}, Transmissions: nth}})
	}
	link := wire.Bottleneck{Rate: lossyRate, Delay: wire.Duration(lossyRTT / 2), Queue: lossyQueue}
	back := wire.Delay{Fixed: wire.Duration(lossyRTT / 2), InOrder: true}
	return append(rules,
		wire.Rule{Name: fmt.Sprintf("%d: path from guest", port), Match: wire.Match{Dir: wire.FromGuest, Port: port}, Do: wire.Action{Bottleneck: &link}, Last: true},
		wire.Rule{Name: fmt.Sprintf("%d: path to guest", port), Match: wire.Match{Dir: wire.ToGuest, Port: port}, Do: wire.Action{Delay: &back}, Last: true})
}

// round is which rate a round is of, and the seed of its first transfer.
func (l *lossy) round(n int) (rate, seed int) {
	each := lossyRuns / lossySide
	return n / each, n%each*lossySide + 1
}

func (l *lossy) run(ctx context.Context, b *Bed) error {
	r, seed := l.round(b.Round())
	if seed == 1 {
		*l = lossy{}
	}
	rate, mss := lossyRates[r], b.MSS()
	segments := int(rate.bytes) / mss
	var rules []wire.Rule
	ports := make([]uint16, lossySide)
	for i := range ports {
		ports[i] = b.nextPort()
		rules = append(rules, lossRules(ports[i], drawLosses(rate.perMill, seed+i, segments), segments, mss)...)
	}
	if err := b.Cable.SetRules(rules); err != nil {
		return err
	}
	var send []func(context.Context) error
	for i, port := range ports {
		c, err := b.DialScriptAt(ctx, Active+Role(i%2), port, peer.ConnOptions{}, map[string]string{"sndbuf": "262144"})
		if err != nil {
			return within(rate.name, err)
		}
		send = append(send, func(ctx context.Context) error {
			if err := c.Send(ctx, rate.bytes, false); err != nil {
				return within(rate.name, err)
			}
			return within(rate.name, c.finish(ctx))
		})
	}
	return all(ctx, send...)
}

// finish waits until all has come, and closes.
func (c *Conn) finish(ctx context.Context) error {
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return c.Close(ctx)
}

// look measures. What the host held up is left out: it says nothing of the kernel. When
// that was most of a rate's transfers, there is no number for it.
func (l *lossy) look(b *Bed, e *Evidence) error {
	r, seed := l.round(b.Round())
	rate := lossyRates[r]
	for _, c := range b.Conns() {
		s := e.Stream(c)
		took, err := completion(e, c)
		if err != nil {
			return within(rate.name, err)
		}
		l.timer += s.Stats.Resends[judge.RTO]
		began := s.Sent[0].At
		if !b.held(began, began+took) {
			l.took = append(l.took, took.Seconds())
		}
	}
	if seed+lossySide <= lossyRuns {
		return nil
	}
	if len(l.took) > lossyRuns/2 {
		b.Measure(rate.name+"_completion_s", median(l.took))
		b.Measure(rate.name+"_timer_segments", float64(l.timer))
	}
	return nil
}

// heldShare is the part of a time from which on how long something took is no number of
// the kernel's: a tenth. Changes are looked for from 5 % on.
const heldShare = 10

// held says whether the host kept the guest so much from its CPUs.
func (b *Bed) held(from, to time.Duration) bool {
	return b.hunger.between(from, to)*heldShare >= to-from && to > from
}
