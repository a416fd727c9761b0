package web

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxEscape bounds a terminal escape sequence. A guest that opens one and never
// closes it hides no more than this.
const maxEscape = 256

// cleaner makes console output harmless and readable. It takes away terminal
// escape sequences, shows other control characters as their pictures, and marks
// characters that reorder text. A sequence or a character may arrive in pieces;
// the zero value is ready.
type cleaner struct {
	state escState
	seen  int    // runes of the current escape sequence
	held  []byte // start of a character whose rest has not arrived
	cr    bool   // a carriage return has not been judged yet
}

type escState int

const (
	plain   escState = iota
	escaped          // after ESC
	csi              // ESC [ … final byte @ to ~
	str              // ESC ] P X ^ _ … until BEL or ESC \
	charset          // ESC ( ) * + and one more
)

// Clean returns the text of the next piece.
func (c *cleaner) Clean(p []byte) string {
	if len(c.held) > 0 {
		p = append(c.held, p...)
		c.held = nil
	}
	var b strings.Builder
	for len(p) > 0 {
		if !utf8.FullRune(p) {
			c.held = append([]byte(nil), p...)
			break
		}
		r, n := utf8.DecodeRune(p)
		p = p[n:]
		c.rune(&b, r)
	}
	return b.String()
}

// pending is how many bytes taken are not in the text yet.
func (c *cleaner) pending() int { return len(c.held) }

func (c *cleaner) rune(b *strings.Builder, r rune) {
	if c.state != plain && !c.escape(r) {
		return
	}
	// \r\n, and the \r\r\n of a console that translates twice, is one new line. A
	// line that is written over itself shows each of its texts.
	if c.cr && r != '\r' {
		c.cr = false
		if r != '\n' {
			b.WriteByte('\n')
		}
	}
	switch r {
	case '\r':
		c.cr = true
	case 0x1b:
		c.state, c.seen = escaped, 0
	case 0x9b: // the eight-bit CSI
		c.state, c.seen = csi, 0
	default:
		writeVisible(b, r)
	}
}

// escape takes one rune inside a sequence. True: it is text after all.
func (c *cleaner) escape(r rune) bool {
	c.seen++
	if r == '\n' || c.seen > maxEscape {
		c.state = plain
		return true
	}
	switch c.state {
	case escaped:
		switch {
		case r == '[':
			c.state = csi
		case strings.ContainsRune("]PX^_", r):
			c.state = str
		case strings.ContainsRune("()*+#%", r):
			c.state = charset
		default:
			c.state = plain
		}
	case csi:
		if r == 0x1b {
			c.state = escaped
		} else if r >= '@' && r <= '~' {
			c.state = plain
		}
	case str:
		if r == 0x07 || r == 0x9c {
			c.state = plain
		} else if r == 0x1b {
			c.state = escaped // ESC \ ends it: the \ is taken by escaped
		}
	case charset:
		c.state = plain
	}
	return false
}

// writeVisible writes one rune so that it can be seen and does nothing.
func writeVisible(b *strings.Builder, r rune) {
	switch {
	case r == '\n' || r == '\t':
		b.WriteRune(r)
	case r < 0x20:
		b.WriteRune(0x2400 + r) // control pictures
	case r == 0x7f:
		b.WriteRune(0x2421)
	case r >= 0x80 && r < 0xa0, reorders(r):
		fmt.Fprintf(b, "<U+%04X>", r)
	default:
		b.WriteRune(r)
	}
}

// reorders tells the characters that change the order of shown text, or hide.
func reorders(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r == 0x200b || r == 0x200e || r == 0x200f || r == 0x061c || r == 0xfeff || r == 0x2028 || r == 0x2029
}

// visible makes one line of foreign text (subject, title, reason, name) safe to
// show: no sequences, no controls, no new lines.
func visible(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(visibleText(s))
}

// visibleText is visible for text of several lines.
func visibleText(s string) string {
	var c cleaner
	text := c.Clean([]byte(s))
	if c.pending() > 0 {
		text += string(utf8.RuneError)
	}
	return text
}
