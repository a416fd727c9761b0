package plot

import (
	"fmt"
	"strings"
)

// maxLabels bounds the words in a picture.
const maxLabels = 40

// words writes SYN, FIN and RST beside their segments.
func (d *drawing) words(c *canvas) {
	type place struct{ x, y float64 }
	var taken []place
	for i, l := range d.labels {
		if i == maxLabels {
			d.notes = append(d.notes, fmt.Sprintf("%d more of SYN, FIN and RST", len(d.labels)-i))
			break
		}
		p := place{d.px(l.at), d.py(l.y)}
		anchor, dx := "start", 5.0
		if p.x > d.x.end-40 {
			anchor, dx = "end", -5.0
		}
		p.y = max(p.y-4, d.y.end+10)
		for n := 0; n < len(taken); n++ { // upwards until it is free
			if o := taken[n]; p.x-o.x < 32 && o.x-p.x < 32 && p.y-o.y < 11 && o.y-p.y < 11 && p.y > d.y.end+10 {
				p.y, n = o.y-12, -1
			}
		}
		taken = append(taken, p)
		c.leaf("text", l.text, "class", "word", "x", p.x+dx, "y", p.y, "text-anchor", anchor)
	}
}

// head writes what the picture shows, in numbers, and what it does not.
func (d *drawing) head(c *canvas) {
	c.leaf("text", d.Title(), "class", "t", "x", 14.0, "y", 22.0)
	c.leaf("text", d.describe(), "x", 14.0, "y", 40.0)
	if d.trace.Left > 0 {
		d.notes = append(d.notes, fmt.Sprintf("%d frames are not in the trace, for want of memory", d.trace.Left))
	}
	if len(d.notes) > 0 {
		c.leaf("text", "Note: "+strings.Join(d.notes, "; ")+".", "class", "dim", "x", 14.0, "y", 56.0)
	}
	c.line()
}

// describe sums the picture up.
func (p *Picture) describe() string {
	text := fmt.Sprintf("%d segments, %d bytes", p.Segments, max(0, p.Bytes))
	if p.Resent > 0 {
		kinds := map[string]int{}
		for k, n := range p.reasons {
			kinds[k] = n
		}
		text += fmt.Sprintf(", %d sent again%s", p.Resent, tally(kinds))
	}
	if p.Dropped > 0 {
		text += fmt.Sprintf(", %d dropped by the wire", p.Dropped)
	}
	if p.Findings > 0 {
		text += fmt.Sprintf(", %d finding", p.Findings)
	}
	if p.Findings > 1 {
		text += "s"
	}
	return text + "."
}

// legend shows each shape that is in the picture with its name.
func (d *drawing) legend(c *canvas) {
	entries := d.entries()
	x, y := d.x.start, d.h-36
	for _, e := range entries {
		width := 42 + 6.4*float64(len([]rune(e.name)))
		if x+width > d.w-4 && x > d.x.start {
			x, y = d.x.start, y+20
		}
		var p path
		e.shape(&p, bar{x + 10, y - 10, y + 2})
		c.empty("path", "class", e.class, "d", p.String())
		if e.class == markClasses[markFinding] {
			c.leaf("text", "!", "class", "bang", "x", x+10, "y", y, "text-anchor", "middle")
		}
		c.leaf("text", e.name, "x", x+24, "y", y)
		x += width
	}
}

type entry struct {
	name, class string
	shape       func(*path, bar)
}

func (d *drawing) entries() []entry {
	flat := func(p *path, b bar) { p.cmd('M', b.x-9, b.bottom-2).cmd('h', 9).cmd('v', -6).cmd('h', 9) }
	upright := func(p *path, b bar) { p.cmd('M', b.x, b.top).cmd('V', b.bottom) }
	has := [markEnd]bool{}
	for _, m := range d.marks {
		has[m.kind] = true
	}
	out := []entry{{"segment", "new", upright}}
	if d.Resent > 0 {
		out = append(out, entry{"sent again", "re", func(p *path, b bar) {
			p.cmd('M', b.x-3, b.top).cmd('h', 6).cmd('M', b.x, b.top).cmd('V', b.bottom).cmd('M', b.x-3, b.bottom).cmd('h', 6)
		}})
	}
	if len(d.acks) > 0 {
		out = append(out, entry{"acknowledged (tick: once more)", "ack", flat})
		if d.scaled {
			out = append(out, entry{"window", "win", flat})
		}
	}
	if len(d.sacks) > 0 {
		out = append(out, entry{"SACK", "sack", upright})
	}
	for _, kind := range []markKind{markDropped, markLate, markCopy, markChanged, markFinding} {
		if has[kind] {
			out = append(out, entry{markNames[kind], markClasses[kind], shapes[kind]})
		}
	}
	return out
}
