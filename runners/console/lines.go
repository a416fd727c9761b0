package console

import "bytes"

const (
	// overlap is how much of a line too long to keep is looked at again with what
	// follows, so that words on the seam are seen.
	overlap = 256
	escape  = 0x1b
)

// lines cuts a stream at "\n" and "\r" (a carriage return starts over) and shows
// those lines that may matter to a sink, as pieces of at most maxLine bytes that
// overlap. What is shown does not depend on how the stream was cut into writes.
// The zero value is ready.
type lines struct {
	buf  []byte // the line under way, at most maxLine bytes
	base int64  // place of buf[0] in the stream
}

// sink takes lines. at is the line's place in the stream; the line is valid
// during the call only.
type sink interface {
	eager() bool // wants every line, not only those with a word of the filter
	line(line []byte, at int64)
}

func (l *lines) write(p []byte, f *filter, s sink) {
	for len(p) > 0 {
		if len(l.buf) == 0 && !s.eager() {
			if n := l.whole(p, f, s); n > 0 {
				p = p[n:]
				continue
			}
		}
		p = p[l.gather(p, f, s):]
	}
}

// whole searches all whole lines of p at once, without a copy. It returns how
// many bytes it took; it stops early when the sink becomes eager.
func (l *lines) whole(p []byte, f *filter, s sink) int {
	end := lastBreak(p) + 1
	search := finder{filter: f, text: p[:end], word: -1, odd: [2]int{-1, -1}}
	from := 0
	for from < end {
		pos := search.next(from)
		if pos == end {
			from = end
			break
		}
		start := from + lastBreak(p[from:pos]) + 1
		stop := pos + firstBreak(p[pos:end])
		l.pieces(p[start:stop], l.base+int64(start), f, s)
		from = stop + 1
		if s.eager() {
			break
		}
	}
	l.base += int64(from)
	return from
}

// gather adds to the line under way, to its end or as far as p goes, and returns
// how many bytes it took.
func (l *lines) gather(p []byte, f *filter, s sink) int {
	// One byte beyond the room is enough to see that the line goes on.
	n := firstBreak(p[:min(len(p), maxLine-len(l.buf)+1)])
	if n < 0 {
		n = min(len(p), maxLine-len(l.buf))
		l.buf = append(l.buf, p[:n]...)
		if len(l.buf) == maxLine {
			l.offer(l.buf, l.base, f, s)
			l.base += maxLine - overlap
			l.buf = append(l.buf[:0], l.buf[maxLine-overlap:]...)
		}
		return n
	}
	l.buf = append(l.buf, p[:n]...)
	l.pieces(l.buf, l.base, f, s)
	l.base += int64(len(l.buf)) + 1
	l.buf = l.buf[:0]
	return n + 1
}

// pieces shows a whole line.
func (l *lines) pieces(line []byte, at int64, f *filter, s sink) {
	for ; len(line) >= maxLine; line, at = line[maxLine-overlap:], at+maxLine-overlap {
		l.offer(line[:maxLine], at, f, s)
	}
	if len(line) > 0 {
		l.offer(line, at, f, s)
	}
}

func (l *lines) offer(line []byte, at int64, f *filter, s sink) {
	if s.eager() || worth(line, f) {
		s.line(line, at)
	}
}

// worth says whether a line has a word of f, or a byte that may hide one.
func worth(line []byte, f *filter) bool {
	return f.has(line) || bytes.IndexByte(line, escape) >= 0 || bytes.IndexByte(line, 0) >= 0
}

// finder remembers what lies ahead in a text, so that each byte is looked at once.
type finder struct {
	*filter
	text []byte
	word int
	odd  [2]int // the next escape and the next zero byte
}

// next returns a place at or after from in the first line worth looking at, or
// the text's length. from never goes back.
func (f *finder) next(from int) int {
	if f.word < from {
		f.word = from + orEnd(f.find(f.text[from:], 0), len(f.text)-from)
	}
	pos := f.word
	for i, c := range [...]byte{escape, 0} {
		if f.odd[i] < from {
			f.odd[i] = from + orEnd(bytes.IndexByte(f.text[from:], c), len(f.text)-from)
		}
		pos = min(pos, f.odd[i])
	}
	return pos
}

func orEnd(i, end int) int {
	if i < 0 {
		return end
	}
	return i
}

func firstBreak(p []byte) int {
	n := bytes.IndexByte(p, '\n')
	if n < 0 {
		return bytes.IndexByte(p, '\r')
	}
	if r := bytes.IndexByte(p[:n], '\r'); r >= 0 {
		return r
	}
	return n
}

func lastBreak(p []byte) int {
	n := bytes.LastIndexByte(p, '\n') + 1
	return n + bytes.LastIndexByte(p[n:], '\r')
}
