package tcp

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	maskSegments = 24 // of a connection
	maskHoles    = 4  // at most
	maskLength   = 3  // segments of a hole at most
	maskRound    = 4  // connections of a round, side by side
)

// masks is R02: of 24 segments up to four holes of one to three are lost, a mask for
// each connection. What is lost is sent again, once each time that it is, and every
// byte comes. Of all masks each execution takes a part, by its run's seed: consecutive
// seeds take all of them. Else count are drawn.
func masks(name string, layer suites.Layer, count int, timeout time.Duration) row {
	what := fmt.Sprintf("%d masks", count)
	if count == 0 {
		what = fmt.Sprintf("all masks in %d runs of consecutive seeds", maskParts)
	}
	return row{
		name: name, layer: layer, timed: true, timeout: timeout,
		summary: "24 segments, up to 4 holes of 1 to 3 lost, " + what + ": each byte sent again once for each loss",
		plan: func(_ Family, t *suites.T) Plan {
			var m masking
			for range count {
				m.all = append(m.all, drawMask(t.Rand.IntN))
			}
			if count == 0 {
				m.all = maskPart(t.Seed)
			}
			rounds := (len(m.all) + maskRound - 1) / maskRound
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Rounds: rounds, Run: m.run, Look: m.look, Settings: withoutRACK, Uncounted: causes}
		},
	}
}

// masking is an execution of R02.
type masking struct {
	all                []uint64 // the segments that are lost, for each connection
	done, late, resent int
}

// of is the masks of a round's connections.
func (m *masking) of(round int) []uint64 {
	return m.all[round*maskRound : min((round+1)*maskRound, len(m.all))]
}

// drawMask draws holes; bit i stands for segment i+1. Two may touch or overlap, and be
// one then.
func drawMask(draw func(n int) int) (mask uint64) {
	for range 1 + draw(maskHoles) {
		length := 1 + draw(maskLength)
		mask |= (1<<length - 1) << draw(maskSegments-length+1)
	}
	return mask
}

// run opens the connections of a round and has them send at once. Each has a port of its
// own, by which the wire knows its mask. A round that is done again has the same masks.
func (m *masking) run(ctx context.Context, b *Bed) error {
	masks := m.of(b.Round())
	var rules []wire.Rule
	ports := make([]uint16, len(masks))
	for i := range ports {
		ports[i] = b.nextPort()
		r := wire.DropMask(fmt.Sprintf("%d: mask %06x", i+1, masks[i]), 0, wire.FromGuest, masks[i])
		r.Match.Port = ports[i]
		rules = append(rules, r)
	}
	if err := b.Cable.SetRules(append(rules, delayed(dropRTT))); err != nil {
		return err
	}
	var send []func(context.Context) error
	for i, port := range ports { // one after the other: who accepts passes over what others wait for
		name := fmt.Sprintf("%s, mask %06x", Active+Role(i%2), masks[i])
		c, err := b.DialScriptAt(ctx, Active+Role(i%2), port, peer.ConnOptions{}, nil)
		if err != nil {
			return within(name, err)
		}
		send = append(send, func(ctx context.Context) error { return within(name, c.sendMasked(ctx)) })
	}
	return all(ctx, send...)
}

// delayed is a path with a round-trip time.
func delayed(rtt time.Duration) wire.Rule {
	return wire.Rule{Name: "path", Do: wire.Action{Delay: &wire.Delay{Fixed: wire.Duration(rtt / 2), InOrder: true}}}
}

// sendMasked has the guest send its segments, and closes the connection when all have
// come.
func (c *Conn) sendMasked(ctx context.Context) error {
	if err := c.Send(ctx, int64(maskSegments*c.bed.MSS()), false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return c.Close(ctx)
}

// look counts what was sent again: as many bytes as were lost, unless a timeout sent
// more. Whether each was allowed, and came in time, the judge has said.
func (m *masking) look(b *Bed, e *Evidence) error {
	lost, again, timeouts := 0, 0, 0
	for i, c := range b.Conns() {
		s := e.Stream(c)
		if s == nil {
			return fmt.Errorf("connection %d was not on the wire", i+1)
		}
		mine, bytes := s.Stats.Lost, lostBytes(s)
		lost, again = lost+mine, again+s.Stats.Resent()
		if s.Stats.Resends[judge.RTO] > 0 {
			timeouts++
			continue
		}
		if got := resentBytes(s); got != bytes {
			return latef("stream %d, %s: %d bytes were lost and %d sent again: %s", s.N, c.Role, bytes, got, resends(s))
		}
	}
	m.done, m.late, m.resent = m.done+len(b.Conns()), m.late+timeouts, m.resent+again
	b.Measure("masks", float64(m.done))
	b.Measure("masks_by_timeout", float64(m.late))
	b.Measure("segments_sent_again", float64(m.resent))
	if lost == 0 {
		return fmt.Errorf("the wire lost nothing, and should have by %d masks", len(m.of(b.Round())))
	}
	return nil
}

// resends lists what was sent again, and why.
func resends(s *judge.Stream) string {
	var list []string
	for i := range s.Sent {
		if p := &s.Sent[i]; p.Again > 0 {
			list = append(list, fmt.Sprintf("%d–%d at %.3f s (%v)", p.Start, p.End, p.At.Seconds(), p.Reason))
		}
	}
	return strings.Join(list[:min(len(list), 20)], ", ")
}

// lostBytes are the bytes of data that the wire lost, as often as it did. The FIN is
// none: it may be under way when the bed is cleared.
func lostBytes(s *judge.Stream) (n int64) {
	for i := range s.Sent {
		if p := &s.Sent[i]; p.Lost {
			n += withoutFIN(p, p.End-p.Start)
		}
	}
	return n
}

// resentBytes are those that it sent again, as often as it did.
func resentBytes(s *judge.Stream) (n int64) {
	for i := range s.Sent {
		p := &s.Sent[i]
		n += withoutFIN(p, p.Again)
	}
	return n
}

func withoutFIN(p *judge.Sent, bytes int64) int64 {
	if p.Flags&wire.FIN != 0 {
		bytes--
	}
	return max(bytes, 0)
}
