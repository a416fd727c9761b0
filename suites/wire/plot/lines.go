package plot

import (
	"strconv"
	"time"
)

// steps draws a line that keeps its height until it changes, with a few points for each
// column of half a pixel, however many changes there are.
type steps struct {
	path
	begun          bool
	x              float64 // of the column
	low, high, now float64
	at             float64 // height with which the line came in
}

const column = 0.5 // pixels

func (s *steps) to(x, y float64) {
	x = snap(x, column)
	switch {
	case !s.begun:
		s.begun, s.x, s.low, s.high, s.now, s.at = true, x, y, y, y, y
		s.cmd('M', x, y)
	case x > s.x:
		s.flush()
		s.x, s.low, s.high, s.at = x, min(s.now, y), max(s.now, y), s.now
	}
	s.low, s.high, s.now = min(s.low, y), max(s.high, y), y
}

// flush draws the column.
func (s *steps) flush() {
	if s.low == s.high {
		return // it goes on
	}
	s.cmd('H', s.x)
	if s.low < min(s.at, s.now) {
		s.cmd('V', s.low)
	}
	if s.high > max(s.at, s.now) {
		s.cmd('V', s.high)
	}
	s.cmd('V', s.now)
}

// end draws the line to x.
func (s *steps) end(x float64) string {
	s.flush()
	if s.begun {
		s.cmd('H', x)
	}
	return s.String()
}

// ackLine draws how far the bytes are acknowledged, and a tick for each ACK that says
// the same again.
func (d *drawing) ackLine(c *canvas) {
	var line steps
	var ticks []bar
	una, began := int64(0), false
	for _, a := range d.acks {
		x := d.px(a.at)
		if began && a.ack <= una && a.pure {
			y := d.py(a.ack)
			ticks = append(ticks, bar{x, y - 5, y})
		}
		if !began || a.ack > una {
			una, began = a.ack, true
		}
		line.to(x, d.py(una))
	}
	if !began {
		return
	}
	c.empty("path", "class", "ack", "d", line.end(d.x.end))
	if len(ticks) > 0 {
		d.bars(c, "ack", ticks)
	}
	c.line()
}

// window draws up to where the bytes may be sent.
func (d *drawing) window(c *canvas) {
	if !d.scaled {
		if len(d.acks) > 0 {
			d.notes = append(d.notes, "no window: its scale is not in the trace")
		}
		return
	}
	var line steps
	for _, a := range d.acks {
		line.to(d.px(a.at), d.py(a.edge))
	}
	if line.begun {
		c.empty("path", "class", "win", "d", line.end(d.x.end))
	}
	if d.above {
		d.notes = append(d.notes, "the window reaches above the picture")
	}
}

// blocks draws what SACK says.
func (d *drawing) blocks(c *canvas) {
	var all []bar
	last := time.Duration(-1)
	for _, b := range d.sacks {
		all = append(all, d.bar(b.at, b.from, b.to))
		last = b.at
	}
	if last >= 0 {
		d.bars(c, "sack", all)
		c.line()
	}
}

// segments draws those with new bytes; others have marks.
func (d *drawing) segments(c *canvas) {
	var all []bar
	for i := range d.segs {
		if s := &d.segs[i]; s.sends < 2 {
			all = append(all, d.bar(s.at, s.from, s.to))
		}
	}
	if n := d.bars(c, "new", all); len(all) > maxBars {
		d.notes = append(d.notes, strconv.Itoa(len(all))+" segments are drawn as "+strconv.Itoa(n)+" bars")
	}
	c.line()
}

// bars draws vertical lines as one path, and says how many are left.
func (d *drawing) bars(c *canvas, class string, all []bar) int {
	if len(all) == 0 {
		return 0
	}
	left := thin(all, maxBars)
	var p path
	for _, b := range left {
		p.cmd('M', b.x, b.top).cmd('V', b.bottom)
	}
	c.empty("path", "class", class, "d", p.String())
	return len(left)
}
