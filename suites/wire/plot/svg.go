package plot

import (
	"bufio"
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"
)

// canvas writes SVG. The first error stays; everything after it is lost.
type canvas struct {
	w    *bufio.Writer
	open []string
}

func newCanvas(w io.Writer) *canvas { return &canvas{w: bufio.NewWriter(w)} }

// end closes what is open and says how it went.
func (c *canvas) end() error {
	for len(c.open) > 0 {
		c.close()
	}
	c.w.WriteByte('\n')
	return c.w.Flush()
}

// start opens an element; attributes come as names and values, which are strings or
// numbers.
func (c *canvas) start(name string, attrs ...any) {
	c.tag(name, attrs)
	c.w.WriteByte('>')
	c.open = append(c.open, name)
}

func (c *canvas) close() {
	last := len(c.open) - 1
	c.w.WriteString("</" + c.open[last] + ">")
	c.open = c.open[:last]
}

// empty writes an element without content.
func (c *canvas) empty(name string, attrs ...any) {
	c.tag(name, attrs)
	c.w.WriteString("/>")
}

// leaf writes an element that holds text.
func (c *canvas) leaf(name, text string, attrs ...any) {
	c.start(name, attrs...)
	c.text(text)
	c.close()
}

func (c *canvas) tag(name string, attrs []any) {
	c.w.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		c.w.WriteString(" " + attrs[i].(string) + `="`)
		switch v := attrs[i+1].(type) {
		case string:
			c.text(v)
		case float64:
			c.w.WriteString(number(v))
		case int:
			c.w.WriteString(strconv.Itoa(v))
		}
		c.w.WriteByte('"')
	}
}

// text escapes; what is no character of XML becomes U+FFFD.
func (c *canvas) text(s string) { xml.EscapeText(c.w, []byte(s)) }

// line breaks the source, for people who read it.
func (c *canvas) line() { c.w.WriteByte('\n') }

// number writes a coordinate with one digit behind the point.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	s := strconv.FormatFloat(v, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// path collects the commands of a <path>.
type path struct{ strings.Builder }

func (p *path) cmd(c byte, numbers ...float64) *path {
	p.WriteByte(c)
	for i, n := range numbers {
		s := number(n)
		if i > 0 && s[0] != '-' {
			p.WriteByte(' ')
		}
		p.WriteString(s)
	}
	return p
}
