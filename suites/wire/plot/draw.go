package plot

import (
	"io"
	"math"
	"time"
)

// Options adjust a picture. Zero fields take the defaults.
type Options struct {
	Width, Height int // 1000 and 600 pixels; it scales to whatever room it gets
}

// Room around the field, in pixels.
const (
	marginLeft, marginRight = 74, 18
	marginTop, marginBottom = 64, 96
	leastWidth, leastHeight = 400, 300
	mostWidth, mostHeight   = 4000, 4000
	headroom                = 0.05 // of the field, above the highest byte
	windowRoom              = 0.25 // of the bytes, for the window above them
	leastTime, leastBytes   = 1e-6, 1.0
	barGap                  = 0.4 // pixels between segments that have room for it
	leastBar                = 1.2 // pixels
	xTicks, yTicks          = 10, 8
)

// SVG writes the picture.
func (p *Picture) SVG(w io.Writer, o Options) error {
	d := p.layout(o)
	c := newCanvas(w)
	c.start("svg", "xmlns", "http://www.w3.org/2000/svg", "viewBox", "0 0 "+number(d.w)+" "+number(d.h), "width", d.w, "height", d.h, "role", "img", "class", "hw")
	c.leaf("title", p.Title())
	c.leaf("desc", p.describe())
	c.leaf("style", style)
	c.empty("rect", "class", "bg", "width", d.w, "height", d.h)
	c.line()
	d.axes(c)
	d.window(c)
	d.ackLine(c)
	d.blocks(c)
	d.segments(c)
	d.special(c)
	d.words(c)
	d.head(c)
	d.legend(c)
	return c.end()
}

// drawing is a picture with its axes.
type drawing struct {
	*Picture
	w, h  float64
	x, y  axis
	above bool     // the window reaches beyond the field
	notes []string // about what the picture does not show as it is
}

func (p *Picture) layout(o Options) *drawing {
	size := func(v, usual, least, most int) float64 {
		if v == 0 {
			v = usual
		}
		return float64(min(most, max(least, v)))
	}
	d := &drawing{Picture: p, w: size(o.Width, 1000, leastWidth, mostWidth), h: size(o.Height, 600, leastHeight, mostHeight)}
	t0, t1 := span(p)
	low, high := p.segs[0].from, p.segs[0].to
	for _, s := range p.segs {
		low, high = min(low, s.from), max(high, s.to)
	}
	edge := high
	for _, a := range p.acks {
		edge = max(edge, a.edge)
	}
	top := float64(high)
	if room := float64(high) + windowRoom*float64(high-low); p.scaled && float64(edge) <= room {
		top = float64(edge)
	} else if p.scaled {
		top, d.above = room, true
	}
	pad := (t1 - t0).Seconds() * 0.015
	d.x = newAxis(t0.Seconds()-pad, t1.Seconds()+pad, leastTime, marginLeft, d.w-marginRight)
	d.y = newAxis(float64(low), top+headroom*(top-float64(low)), leastBytes, d.h-marginBottom, marginTop)
	return d
}

// span is from when to when there is something to see.
func span(p *Picture) (from, to time.Duration) {
	from, to = p.segs[0].at, p.segs[0].at
	see := func(at time.Duration) { from, to = min(from, at), max(to, at) }
	for _, s := range p.segs {
		see(s.at)
	}
	for _, a := range p.acks {
		see(a.at)
	}
	for _, m := range p.marks {
		see(m.at)
	}
	for _, l := range p.labels {
		see(l.at)
	}
	return from, to
}

func (d *drawing) px(at time.Duration) float64 { return d.x.at(at.Seconds()) }
func (d *drawing) py(off int64) float64        { return d.y.at(float64(off)) }

// bar is where bytes are. Segments that have room for it leave a gap between.
func (d *drawing) bar(at time.Duration, from, to int64) bar {
	b := bar{d.px(at), d.py(to), d.py(from)}
	if high := b.bottom - b.top; high < leastBar {
		b.bottom = b.top + leastBar
	} else if high > 6*barGap {
		b.top, b.bottom = b.top+barGap, b.bottom-barGap
	}
	return b
}

// axes draws the grid, the ticks and their numbers.
func (d *drawing) axes(c *canvas) {
	xs, ys := d.x.step(xTicks, 1e-9), d.y.step(yTicks, 1)
	var grid path
	for _, v := range d.x.ticks(xs) {
		x := d.x.at(v)
		grid.cmd('M', x, d.y.end).cmd('V', d.y.start)
		c.leaf("text", secondsTick(v, xs), "x", x, "y", d.y.start+16, "text-anchor", "middle", "class", "dim")
	}
	for _, v := range d.y.ticks(ys) {
		y := d.y.at(v)
		grid.cmd('M', d.x.start, y).cmd('H', d.x.end)
		c.leaf("text", bytesTick(v, ys, math.Abs(d.y.to)), "x", d.x.start-6, "y", y+4, "text-anchor", "end", "class", "dim")
	}
	c.empty("path", "class", "grid", "d", grid.String())
	var frame path
	frame.cmd('M', d.x.start, d.y.end).cmd('V', d.y.start).cmd('H', d.x.end)
	c.empty("path", "class", "frame", "d", frame.String())
	c.leaf("text", "seconds since the cable was laid, at the guest's end of it", "x", (d.x.start+d.x.end)/2, "y", d.y.start+34, "text-anchor", "middle", "class", "dim")
	middle := (d.y.start + d.y.end) / 2
	c.leaf("text", "bytes of the stream", "x", 14.0, "y", middle, "text-anchor", "middle", "class", "dim",
		"transform", "rotate(-90 14 "+number(middle)+")")
	c.line()
}
