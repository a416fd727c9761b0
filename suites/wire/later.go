package wire

import (
	"container/heap"
	"time"
)

// item is a copy of a frame on its way.
type item struct {
	due   time.Duration
	order int64 // among those that are due at the same time
	lane  lane
	frame []byte
	as    []byte // the frame when it is not as it was sent; nil: it is
	event *Event
	place int // in the heap; -1: it is not there
}

// later is a heap of items by the time at which they are due.
type later []*item

func (l later) Len() int { return len(l) }
func (l later) Less(i, j int) bool {
	return l[i].due < l[j].due || l[i].due == l[j].due && l[i].order < l[j].order
}
func (l later) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

func (l *later) Push(x any) {
	it := x.(*item)
	it.place = len(*l)
	*l = append(*l, it)
}

func (l *later) Pop() any {
	n := len(*l) - 1
	it := (*l)[n]
	(*l)[n], it.place = nil, -1
	*l = (*l)[:n]
	return it
}

// held is an item that waits for something else than its time.
type held struct {
	item   *item
	frames int      // that are still to pass; 0: it does not wait for these
	until  *matcher // nil: it does not wait for a frame
}

// put lets an item wait for its time.
func (c *core) put(it *item) {
	it.order = c.orders
	c.orders++
	c.heldBytes += int64(len(it.frame))
	heap.Push(&c.later, it)
}

// advance hands out what is due at now, in its order.
func (c *core) advance(now time.Duration) {
	for len(c.later) > 0 && c.later[0].due <= now {
		it := heap.Pop(&c.later).(*item)
		c.heldBytes -= int64(len(it.frame))
		c.out(it)
	}
}

// next is when advance has something to do; false: never.
func (c *core) next() (time.Duration, bool) {
	if len(c.later) == 0 {
		return 0, false
	}
	return c.later[0].due, true
}

// release moves what waited for s. s itself, when it passes, goes first.
func (c *core) release(s *seen, own *item, passes bool) {
	if len(c.waiting) == 0 {
		return
	}
	keep := c.waiting[:0]
	for _, h := range c.waiting {
		switch {
		case h.item.place < 0: // its time was over
			continue
		case h.item == own:
			keep = append(keep, h)
			continue
		}
		done := h.until != nil && h.until.hit(s)
		if h.frames > 0 && passes && h.item.lane == (lane{s.nic, s.dir}) {
			h.frames--
			done = done || h.frames == 0
		}
		if !done {
			keep = append(keep, h)
			continue
		}
		h.item.due, h.item.order = s.at, c.orders
		c.orders++
		h.item.event.own(OwnReleased)
		heap.Fix(&c.later, h.item.place)
	}
	clear(c.waiting[len(keep):])
	c.waiting = keep
}
