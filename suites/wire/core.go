package wire

import "time"

// core decides: what happens to which frame, and when. It has no clock, no goroutine
// and no lock: the cable calls it with the time, one call after the other.
type core struct {
	seed    uint64
	actions []*action
	streams Streams
	trace   trace
	arena   arena
	out     func(*item) // hands a copy to its receiver's queue

	later     later
	waiting   []*held
	orders    int64
	heldBytes int64
	blank     []item
	maxHeld   int64
	packet    Packet // of the frame at hand
}

// frame takes a frame that came at the time at.
func (c *core) frame(at time.Duration, l lane, raw []byte) {
	c.advance(at)
	raw = c.arena.copy(raw)
	e := c.trace.add(at, l, raw)
	c.packet.Decode(raw)
	place := c.streams.See(l.nic, l.dir, &c.packet)
	e.Stream = place.Stream
	s := seen{at: at, nic: l.nic, dir: l.dir, frame: raw, p: &c.packet, place: &place}
	f := fate{frame: raw, due: at}
	c.ask(&s, e, &f)
	size := int64(len(f.frame)) * int64(1+f.copies)
	if !f.dropped && (f.due > at || f.hold != nil || f.copies > 0) && c.heldBytes+size > c.maxHeld {
		f.dropped = true
		e.own(OwnCrowded)
	}
	if f.dropped {
		c.release(&s, nil, false)
		c.trace.finish(e)
		return
	}
	own := c.send(&s, e, &f)
	c.release(&s, own, f.hold == nil)
	c.advance(at)
}

// forget begins the account of what crossed anew.
func (c *core) forget() {
	c.streams = Streams{}
	c.trace.forget()
}

// ask asks the rules.
func (c *core) ask(s *seen, e *Event, f *fate) {
	for _, a := range c.actions {
		if !a.can(s) || !a.match.hit(s) {
			continue
		}
		if e.Rules == nil {
			e.Rules = a.names
		} else {
			e.own(a.name)
		}
		a.apply(s, f)
		if f.full {
			e.own(OwnFull)
		}
		if f.dropped || a.last {
			return
		}
	}
}

// own adds to the rules of e, whose list may be shared.
func (e *Event) own(name string) { e.Rules = append(e.Rules[:len(e.Rules):len(e.Rules)], name) }

// send lets the copies of a frame go, those that were asked for by themselves, also
// when a hold keeps the first one, which it returns.
func (c *core) send(s *seen, e *Event, f *fate) *item {
	var as []byte
	if f.changed {
		as = f.frame
	}
	e.Held = 1 + f.copies
	first := c.item()
	*first = item{due: f.due, lane: lane{s.nic, s.dir}, frame: f.frame, as: as, event: e, place: -1}
	more := *first
	if h := f.hold; h != nil {
		first.due += time.Duration(h.do.Hold.Limit)
		c.waiting = append(c.waiting, &held{first, h.do.Hold.Frames, h.until})
	}
	if first.due > s.at {
		c.put(first)
	} else {
		c.out(first)
	}
	for range f.copies {
		more.due += f.gap
		again := more
		c.put(&again)
	}
	return first
}

// item gives one that is blank. They are made in pieces.
func (c *core) item() *item {
	if len(c.blank) == 0 {
		c.blank = make([]item, 64)
	}
	it := &c.blank[0]
	c.blank = c.blank[1:]
	return it
}

// shut ends what is still held.
func (c *core) shut() {
	for len(c.later) > 0 {
		it := c.later[0]
		c.later[0] = c.later[len(c.later)-1]
		c.later = c.later[:len(c.later)-1]
		c.lose(it, OwnShutdown)
	}
	c.waiting = nil
}

// lose ends a copy that nobody got.
func (c *core) lose(it *item, why string) {
	it.event.own(why)
	it.event.Held--
	if it.event.Held == 0 {
		c.trace.finish(it.event)
	}
}

// passes notes that copies are handed over at the time at. It comes before that is done,
// for what their receivers do about them can be in the trace before whoever hands them
// over goes on.
func (c *core) passes(batch []*item, at time.Duration) {
	for _, it := range batch {
		c.trace.pass(it.event, it, at)
	}
}

// passed ends copies that were handed over.
func (c *core) passed(batch []*item) {
	for _, it := range batch {
		if it.event.Held--; it.event.Held == 0 {
			c.trace.finish(it.event)
		}
	}
}

// missed takes back that copies were handed over: nobody was there.
func (c *core) missed(batch []*item) {
	for _, it := range batch {
		it.event.Passed = it.event.Passed[:len(it.event.Passed)-1]
		c.lose(it, OwnNobody)
	}
}

// arena copies frames into few, big pieces of memory.
type arena struct{ free []byte }

const arenaPiece = 256 << 10

func (a *arena) copy(b []byte) []byte {
	if len(b) > arenaPiece/4 {
		return append([]byte(nil), b...)
	}
	if len(a.free) < len(b) {
		a.free = make([]byte, arenaPiece)
	}
	c := a.free[:len(b):len(b)]
	a.free = a.free[len(b):]
	copy(c, b)
	return c
}
