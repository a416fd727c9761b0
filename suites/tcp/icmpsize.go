package tcp

import (
	"context"
	"errors"
	"fmt"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// forgedTooBig quotes what was not sent: segments stay as long as they are.
func (p *icmpParts) forgedTooBig(ctx context.Context, b *Bed) (err error) {
	p.forged, err = b.tooBig(ctx, 500_000_000)
	return err
}

// tooBig quotes what is outstanding: it is sent again in shorter segments, and so is all
// that follows (RFC 1191, RFC 8201).
func (p *icmpParts) tooBig(ctx context.Context, b *Bed) (err error) {
	p.told, err = b.tooBig(ctx, 0)
	return err
}

// tooBig opens a connection, and says of its first segment, or of one that lies off from
// it, that it was too big; then it takes what comes.
func (b *Bed) tooBig(ctx context.Context, off wire.Seq) (*Conn, error) {
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{Policy: hush}, nil)
	if err != nil {
		return nil, err
	}
	size := b.MSS()
	if err := c.Send(ctx, int64(icmpFirst*size), false); err != nil {
		return nil, err
	}
	if err := c.Arrived(ctx); err != nil {
		return nil, err
	}
	first := c.Script.State().IRS + 1
	c.Script.Discard()
	if err := b.tell(ctx, b.tooBigError(), icmpMTU, c.Flow, first+off, size); err != nil {
		return nil, err
	}
	// The guest sends something again, at the latest when its timer runs out. One that does
	// so in whole segments may have done it before it read the error. One that was told of
	// what it never sent must not be left without answer for long: FreeBSD tries shorter
	// segments of its own accord when its timer runs out the second time.
	whole := 1
	if off == 0 {
		whole = 2
	}
	if _, err := c.Script.Expect(ctx, func(p *wire.Packet) bool {
		if p.TCP.Seq != first || len(p.TCP.Payload) == 0 {
			return false
		}
		whole--
		return whole == 0 || len(p.TCP.Payload) < size
	}); err != nil {
		return nil, peers(ctx, "the first segment comes again", err)
	}
	c.Script.SetPolicy(peer.Policy{})
	c.Script.Ack()
	if err := c.Send(ctx, int64(20*size), false); err != nil {
		return nil, err
	}
	if err := c.Arrived(ctx); err != nil {
		return nil, err
	}
	return c, c.Close(ctx)
}

func (b *Bed) tooBigError() icmpError {
	if b.Family == V6 {
		return icmpError{"packet too big", 2, 0, false, false}
	}
	return icmpError{"fragmentation needed", 3, 4, false, false}
}

// icmpBlackHole loses long frames and says nothing. After some timeouts the guest tries
// shorter ones (RFC 4821).
func icmpBlackHole(ctx context.Context, b *Bed) error {
	rule := wire.Rule{Name: "black hole", Match: wire.Match{Dir: wire.FromGuest, MinLength: icmpHole}, Do: wire.Action{Drop: true}}
	if err := b.Cable.SetRules([]wire.Rule{rule}); err != nil {
		return err
	}
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{}, nil)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, int64(8*b.MSS()), false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return errors.Join(c.Close(ctx), b.Cable.SetRules(nil))
}

// look judges what the guest sent after it knew: bytes that it had not sent before.
func (p *icmpParts) look(b *Bed, e *Evidence) error {
	known := int64(icmpFirst*b.MSS()) + 1
	limit := int64(icmpMTU - 40)
	if b.Family == V6 {
		limit -= 20
	}
	forged, told := e.Stream(p.forged), e.Stream(p.told)
	if forged == nil || told == nil {
		return fmt.Errorf("nothing of the connections was on the wire")
	}
	if n := longest(forged, known); n < int64(b.MSS()) {
		return suites.Failf("too big, forged: segments of %d bytes and not of %d any more, though the error quotes what was never sent", n, b.MSS())
	}
	n := longest(told, known)
	b.Measure("segment_after_too_big_bytes", float64(n))
	switch {
	case n == 0:
		return fmt.Errorf("too big: the guest sent nothing new")
	case n > limit:
		return suites.Failf("too big: new segments of %d bytes after it was told that %d are too many", n, limit+1)
	}
	return nil
}

// longest is the most bytes that a segment had of those from an offset on.
func longest(s *judge.Stream, from int64) (n int64) {
	for i := range s.Sent {
		if x := &s.Sent[i]; x.Start >= from && x.Flags&wire.SYN == 0 {
			n = max(n, x.End-x.Start)
		}
	}
	return n
}
