package console

import "bytes"

// overlap is how much of a line too long to keep is looked at again with what
// follows, so that words on the seam are seen.
const overlap = 256

// splitter cuts a stream into lines. The zero value is ready.
type splitter struct{ buf []byte }

// write adds bytes and calls line for every line that they complete, at "\n" and
// at "\r" inside a line (a carriage return starts over). A line longer than
// maxLine is given in overlapping pieces.
func (s *splitter) write(p []byte, line func(string)) {
	for len(p) > 0 {
		n := bytes.IndexAny(p, "\r\n")
		end := n >= 0
		if !end {
			n = len(p)
		}
		room := min(n, maxLine-len(s.buf))
		s.buf = append(s.buf, p[:room]...)
		p = p[room:]
		switch {
		case room < n || len(s.buf) == maxLine:
			line(string(s.buf))
			s.buf = append(s.buf[:0], s.buf[len(s.buf)-overlap:]...)
		case end:
			if len(s.buf) > 0 {
				line(string(s.buf))
			}
			s.buf = s.buf[:0]
			p = p[1:]
		}
	}
}

// pending is the line under way.
func (s *splitter) pending() string { return string(s.buf) }
