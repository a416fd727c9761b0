package console

import "hash/maphash"

// maxNews bounds how many lines News remembers.
const maxNews = 4096

// News counts what a console says for the first time. A kernel that waits may say so
// each second for ever ("Root mount waiting for: CAM"), which is no progress; numbers
// that change are. It is not safe for concurrent use.
type News struct {
	lines lines
	seed  maphash.Seed
	said  map[uint64]struct{} // since it was last full
	count int64
}

// NewNews returns one that has heard nothing.
func NewNews() *News { return &News{seed: maphash.MakeSeed(), said: make(map[uint64]struct{})} }

// Write takes more of the console; it never fails.
func (n *News) Write(b []byte) (int, error) {
	n.lines.write(b, marks(), n)
	if len(n.lines.buf) > 0 {
		n.line(n.lines.buf, 0) // dots that grow to a line, a loader's spinner
	}
	return len(b), nil
}

// eager: every line counts.
func (n *News) eager() bool { return true }

func (n *News) line(raw []byte, _ int64) {
	text := clean(string(raw))
	if text == "" {
		return
	}
	sum := maphash.String(n.seed, text)
	if _, old := n.said[sum]; old {
		return
	}
	if len(n.said) >= maxNews {
		clear(n.said)
	}
	n.said[sum] = struct{}{}
	n.count++
}

// Count is how much was new. It never falls.
func (n *News) Count() int64 { return n.count }
