package console

// texts holds the texts of a queue of lines and uses their memory again, so that a
// guest which talks for days makes no work for the garbage collector. The zero
// value is ready.
type texts struct {
	live []slab // oldest first; the last one is being filled
	free [][]byte
}

// slab is memory for the texts of consecutive lines.
type slab struct {
	buf   []byte
	used  int
	lines int // that are still kept
}

const slabSize = 64 << 10 // at least maxLine

// push copies the text of a new line.
func (t *texts) push(text []byte) []byte {
	n := len(t.live)
	if n == 0 || slabSize-t.live[n-1].used < len(text) {
		var buf []byte
		if k := len(t.free); k > 0 {
			buf, t.free = t.free[k-1], t.free[:k-1]
		} else {
			buf = make([]byte, slabSize)
		}
		t.live = append(t.live, slab{buf: buf})
		n++
	}
	s := &t.live[n-1]
	kept := s.buf[s.used : s.used+len(text) : s.used+len(text)]
	s.used += copy(kept, text)
	s.lines++
	return kept
}

// pop forgets the oldest line: its text must not be used any more.
func (t *texts) pop() {
	t.live[0].lines--
	for len(t.live) > 1 && t.live[0].lines == 0 {
		t.free = append(t.free, t.live[0].buf)
		n := copy(t.live, t.live[1:])
		t.live = t.live[:n]
	}
}
