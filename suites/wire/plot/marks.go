package plot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// special draws what people look for: each with a shape of its own, and a title that
// says what it is.
func (d *drawing) special(c *canvas) {
	var again []int
	for i := range d.segs {
		if d.segs[i].sends > 1 {
			again = append(again, i)
		}
	}
	d.titled(c, "sent again", "re", len(again),
		func(i int) bar { s := &d.segs[again[i]]; return d.bar(s.at, s.from, s.to) },
		func(p *path, b bar) {
			p.cmd('M', b.x-3, b.top).cmd('h', 6).cmd('M', b.x, b.top).cmd('V', b.bottom).cmd('M', b.x-3, b.bottom).cmd('h', 6)
		},
		func(i int) string { return d.tellAgain(&d.segs[again[i]]) },
		func(i int) string { return d.reason(&d.segs[again[i]]) })
	for _, kind := range []markKind{markLate, markCopy, markChanged, markDropped, markFinding} {
		d.marksOf(c, kind)
	}
}

// marksOf draws the marks of a kind.
func (d *drawing) marksOf(c *canvas, kind markKind) {
	var list []int
	for i := range d.marks {
		if d.marks[i].kind == kind {
			list = append(list, i)
		}
	}
	place := func(i int) bar {
		m := &d.marks[list[i]]
		y := (d.py(m.from) + d.py(m.to)) / 2
		return bar{d.px(m.at), y, y}
	}
	d.titled(c, markNames[kind], markClasses[kind], len(list), place, shapes[kind],
		func(i int) string { return d.tellMark(&d.marks[list[i]]) },
		func(i int) string {
			if f := d.marks[list[i]].finding; f != nil {
				return string(f.Code)
			}
			return ""
		})
	if kind != markLate {
		return
	}
	var trips path
	for _, g := range grouped(len(list), maxTitled, place) {
		m := &d.marks[list[g.members[0]]]
		trips.cmd('M', d.px(m.sent), (g.top+g.bottom)/2).cmd('H', g.x)
	}
	if trips.Len() > 0 {
		c.empty("path", "class", "odd late", "d", trips.String())
	}
}

var markClasses = [markEnd]string{markDropped: "lost", markCopy: "odd", markLate: "odd", markChanged: "chg", markFinding: "find"}

// shapes are drawn around the middle of a group.
var shapes = [markEnd]func(*path, bar){
	markDropped: func(p *path, b bar) {
		y := (b.top + b.bottom) / 2
		p.cmd('M', b.x-4, y-4).cmd('l', 8, 8).cmd('m', -8, 0).cmd('l', 8, -8)
	},
	markCopy: func(p *path, b bar) {
		p.cmd('M', b.x-4, (b.top+b.bottom)/2).cmd('a', 4, 4, 0, 1, 0, 8, 0).cmd('a', 4, 4, 0, 1, 0, -8, 0)
	},
	markLate: func(p *path, b bar) {
		p.cmd('M', b.x-4, (b.top+b.bottom)/2).cmd('l', 4, -4).cmd('l', 4, 4).cmd('l', -4, 4).cmd('z')
	},
	markChanged: func(p *path, b bar) {
		p.cmd('M', b.x-5, (b.top+b.bottom)/2+4).cmd('l', 5, -9).cmd('l', 5, 9).cmd('z')
	},
	markFinding: func(p *path, b bar) {
		p.cmd('M', b.x-7, (b.top+b.bottom)/2).cmd('a', 7, 7, 0, 1, 0, 14, 0).cmd('a', 7, 7, 0, 1, 0, -14, 0)
	},
}

// titled draws n things, those of one place as one mark that counts them: its title is
// the thing's own words, or says how many there are and of which kinds.
func (d *drawing) titled(c *canvas, what, class string, n int, place func(int) bar, shape func(*path, bar), tell, kind func(int) string) {
	groups := grouped(n, maxTitled, place)
	for _, g := range groups {
		c.start("g", "class", class, "data-n", len(g.members))
		text := ""
		if len(g.members) == 1 {
			text = tell(int(g.members[0]))
		} else {
			kinds := map[string]int{}
			for _, i := range g.members {
				kinds[kind(int(i))]++
			}
			text = fmt.Sprintf("%d × %s%s; the first: %s", len(g.members), what, tally(kinds), tell(int(g.members[0])))
		}
		c.leaf("title", cut(text))
		var p path
		shape(&p, g.bar)
		c.empty("path", "class", class, "d", p.String())
		if class == markClasses[markFinding] {
			c.leaf("text", "!", "class", "bang", "x", g.x, "y", (g.top+g.bottom)/2+4, "text-anchor", "middle")
		}
		c.close()
	}
	if len(groups) > 0 {
		c.line()
	}
	if n > maxTitled {
		d.notes = append(d.notes, fmt.Sprintf("%d × %s are drawn as %d marks, which count them", n, what, len(groups)))
	}
}

// tally lists kinds and how often each is there: " (2 RTO, 1 SACK hole)".
func tally(kinds map[string]int) string {
	delete(kinds, "")
	if len(kinds) == 0 {
		return ""
	}
	var parts []string
	for _, k := range slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		if n := kinds[b] - kinds[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	}) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[k], k))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// maxTitle bounds a title, in bytes: rules have names of any length.
const maxTitle = 240

func cut(s string) string {
	if len(s) <= maxTitle {
		return s
	}
	return strings.ToValidUTF8(s[:maxTitle], "") + "…"
}

// tellAgain says what a segment is that was sent again.
func (d *drawing) tellAgain(s *segment) string {
	text := fmt.Sprintf("%.6f s: bytes %d to %d sent again, transmission %d: %s", s.at.Seconds(), s.from, s.to, s.sends, d.reason(s))
	if e := &d.trace.Events[s.event]; e.Dropped() && e.Held == 0 {
		text += "; dropped by the wire"
	}
	return text
}

// tellMark says what a mark is about.
func (d *drawing) tellMark(m *mark) string {
	if m.finding != nil {
		return m.finding.String()
	}
	e := &d.trace.Events[m.event]
	text := fmt.Sprintf("%.6f s: ACK of byte %d", m.at.Seconds(), m.from)
	if m.from < m.to || e.Dir == d.Dir {
		text = fmt.Sprintf("%.6f s: bytes %d to %d", m.at.Seconds(), m.from, m.to)
	}
	text += " " + markNames[m.kind]
	if m.kind == markLate {
		text += fmt.Sprintf(", %.3f ms under way", float64(m.at-m.sent)/1e6)
	}
	if len(e.Rules) > 0 {
		text += " by " + strings.Join(e.Rules[:min(len(e.Rules), 4)], ", ")
	}
	return text
}
