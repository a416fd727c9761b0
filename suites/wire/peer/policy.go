package peer

import (
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// Policy says what a scripted connection acknowledges by itself. The zero value is a
// receiver that acknowledges every segment at once, with exact SACK when that was
// agreed upon.
type Policy struct {
	Every int           `json:"every,omitempty"` // acknowledge each so-manieth data segment; 0 and 1: each. Gaps, what fills them, and FIN are always acknowledged
	Delay wire.Duration `json:"delay,omitempty"` // after which less than Every are, too; 0: never
	Never bool          `json:"never,omitempty"` // nothing: the script does it all
	SACK  string        `json:"sack,omitempty"`  // exact (default), none
	DSACK bool          `json:"dsack,omitempty"` // report what came twice (RFC 2883)
}

// take notes what came and acts on it. The script's lock is held.
func (c *Conn) take(p *wire.Packet) {
	t := &p.TCP
	c.mac = p.EtherSrc
	if t.Flags.Has(wire.RST) {
		c.reset = true
		return
	}
	if t.Flags.Has(wire.ACK) && c.una.Less(t.Ack) && t.Ack.AtMost(c.next) {
		c.una = t.Ack
	}
	if t.Options.HasTime && t.Seq.AtMost(c.rcvNext()) {
		c.echo = t.Options.TSVal
	}
	if t.Flags.Has(wire.SYN) || !c.open {
		return
	}
	at := int64(t.Seq.From(c.irs + 1))
	before, holes := c.received.next(), len(c.received.beyond())
	var twice *wire.Block
	if n := len(t.Payload); n > 0 {
		duplicate, changed := c.received.add(at, t.Payload)
		c.changed = c.changed || changed
		c.latest = wire.Range{From: at, To: at + int64(n)}
		if duplicate {
			twice = &wire.Block{Start: t.Seq, End: t.Seq + wire.Seq(n)}
		}
	}
	if t.Flags.Has(wire.FIN) {
		c.fin, c.finAt = true, at+int64(len(t.Payload))
	}
	if t.Len() > 0 && !c.policy.Never {
		atOnce := holes > 0 || len(c.received.beyond()) > 0 || c.received.next() == before || t.Flags.Has(wire.FIN)
		c.owe(atOnce, twice)
	}
}

// owe decides when what came is acknowledged.
func (c *Conn) owe(atOnce bool, twice *wire.Block) {
	c.owed++
	if atOnce || c.owed >= c.policy.Every {
		c.acknowledge(twice)
		return
	}
	if c.policy.Delay > 0 && !c.ticking {
		c.ticking = true
		c.timers.Add(1)
		c.timer = time.AfterFunc(time.Duration(c.policy.Delay), func() {
			defer c.timers.Done()
			c.s.mu.Lock()
			defer c.s.mu.Unlock()
			c.ticking = false
			if c.owed > 0 && !c.s.shut {
				c.acknowledge(nil)
			}
		})
	}
}

// acknowledge sends an acknowledgement of all that came.
func (c *Conn) acknowledge(twice *wire.Block) {
	c.owed = 0
	c.untick()
	seg := wire.Segment{Flags: wire.ACK, Seq: c.next}
	if c.sack && c.policy.SACK != "none" {
		seg.Options.SetSACK(c.blocks(twice)...)
	}
	c.send(seg)
}

// untick stops the timer of a delayed acknowledgement. When it is too late for that,
// the timer finds nothing owed.
func (c *Conn) untick() {
	if c.ticking && c.timer.Stop() {
		c.ticking = false
		c.timers.Done()
	}
}

// blocks are those of a SACK: a duplicate first, then the block with the latest
// segment, then the others from the highest down (RFC 2018, section 4; RFC 2883).
func (c *Conn) blocks(twice *wire.Block) []wire.Block {
	var blocks []wire.Block
	if twice != nil && c.policy.DSACK {
		blocks = append(blocks, *twice)
	}
	beyond := c.received.beyond()
	holds := func(r wire.Range) bool { return r.From <= c.latest.From && c.latest.From < r.To }
	for _, latest := range []bool{true, false} {
		for i := len(beyond) - 1; i >= 0 && len(blocks) < 4; i-- {
			if r := beyond[i]; holds(r) == latest {
				blocks = append(blocks, wire.Block{Start: c.irs + 1 + wire.Seq(r.From), End: c.irs + 1 + wire.Seq(r.To)})
			}
		}
	}
	return blocks
}

// rcvNext is the next sequence number that is expected of the guest.
func (c *Conn) rcvNext() wire.Seq {
	n := c.received.next()
	next := c.irs + 1 + wire.Seq(n)
	if c.fin && n == c.finAt {
		next++
	}
	return next
}
