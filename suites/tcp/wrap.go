package tcp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	// wrapRange is how far before 2^32 a guest's sequence numbers begin at most, in bytes.
	// Few enough that they pass it soon, and enough that one number in 65,536 will do.
	wrapRange = 1 << 16
	// wrapRounds are connections, each of which needs a search.
	wrapRounds = 3
)

// wrap is R09: R02 where sequence numbers pass 2^32. Whoever opens a connection cannot ask
// for the other one's numbers; they are random, and so tried for.
func wrap() row {
	return row{
		name: "r09", layer: suites.Stress, timed: true, timeout: 20 * time.Minute,
		summary: "24 segments across the sequence number 2^32, up to 4 holes lost: each byte sent again once for each loss",
		plan: func(_ Family, t *suites.T) Plan {
			w := wrapping{isn: map[int]wire.Seq{}}
			for range wrapRounds {
				w.masks = append(w.masks, drawMask(t.Rand.IntN))
			}
			return Plan{Script: &peer.ScriptOptions{}, Tries: 2, Rounds: wrapRounds, Run: w.run, Look: w.look, Expect: followOwn, Settings: withoutRACK, Uncounted: causes}
		},
	}
}

// followOwn leaves out connections that the bed did not open: those of a search.
func followOwn(x *judge.Expect) {
	sent := x.Sent
	x.Follow = func(f wire.Flow) bool { return sent(f) != nil }
}

// wrapping is an execution of R09.
type wrapping struct {
	masks []uint64
	isn   map[int]wire.Seq // of the guest, by round
	tried int
}

// nearWrap says whether bytes from isn on pass 2^32 behind those that are sent before, and
// so soon that it is not long.
func nearWrap(isn wire.Seq) bool { return -uint32(isn) <= wrapRange && -uint32(isn) > 1 }

func (w *wrapping) run(ctx context.Context, b *Bed) error {
	if err := b.Cable.SetRules(nil); err != nil {
		return err
	}
	c := b.newConn(Passive)
	err := b.accept(ctx, c, nil, func(ctx context.Context, to netip.AddrPort) (err error) {
		tried := 0
		c.Script, tried, err = b.Script.DialWhere(ctx, to, peer.ConnOptions{}, nearWrap, b.Cable.Forget)
		if w.tried += tried; err != nil {
			return peers(ctx, "the peer looks for a sequence number", err)
		}
		c.Flow.Peer = c.Script.Local
		return nil
	})
	if err != nil {
		return err
	}
	w.isn[b.Round()] = c.Script.State().IRS
	return w.cross(ctx, c, w.masks[b.Round()])
}

// cross has the guest send up to half of the segments before 2^32, in peace, and then
// those of the mask.
func (w *wrapping) cross(ctx context.Context, c *Conn, mask uint64) error {
	size := int64(c.bed.MSS())
	before := max(0, int64(-uint32(c.Script.State().IRS+1))-maskSegments/2*size)
	if before > 0 {
		if err := c.Send(ctx, before, false); err != nil {
			return err
		}
		if err := c.Arrived(ctx); err != nil {
			return err
		}
	}
	first := int((before + size - 1) / size) // segments that were sent
	r := wire.Rule{Name: fmt.Sprintf("mask %06x", mask), Do: wire.Action{Drop: true},
		Match: wire.Match{Dir: wire.FromGuest, Port: c.Script.Local.Port(), Segment: []int{0}}}
	for _, n := range wire.Mask(mask) {
		r.Match.Segment = append(r.Match.Segment, first+n)
	}
	if err := c.bed.Cable.SetRules([]wire.Rule{r, delayed(dropRTT)}); err != nil {
		return err
	}
	return within(fmt.Sprintf("mask %06x, from sequence number %d on", mask, uint32(c.Script.State().IRS)), c.sendMasked(ctx))
}

// lastOf is the stream of a connection whose ports were tried before, nil when nothing of
// it was on the wire.
func lastOf(e *Evidence, c *Conn) *judge.Stream {
	for _, s := range slices.Backward(e.Streams) {
		if s.Flow == c.Flow {
			return s
		}
	}
	return nil
}

// look wants what R02 wants, and that the numbers passed 2^32 among the masked segments.
func (w *wrapping) look(b *Bed, e *Evidence) error {
	b.Measure("connections_tried", float64(w.tried))
	s := lastOf(e, b.Conns()[0])
	if s == nil {
		return fmt.Errorf("the connection was not on the wire")
	}
	end := uint64(w.isn[b.Round()]) + uint64(s.Stats.Bytes)
	switch lost, again := lostBytes(s), resentBytes(s); {
	case end <= 1<<32:
		return fmt.Errorf("the guest's numbers went from %d up to %d", uint32(w.isn[b.Round()]), end)
	case lost == 0:
		return fmt.Errorf("the wire lost nothing, and should have by mask %06x", w.masks[b.Round()])
	case again != lost && s.Stats.Resends[judge.RTO] == 0:
		return latef("mask %06x, from %d on: %d bytes were lost and %d sent again: %s", w.masks[b.Round()], uint32(w.isn[b.Round()]), lost, again, resends(s))
	}
	return nil
}
