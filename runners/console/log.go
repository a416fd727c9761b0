// Package console keeps what a guest's kernel says and finds out when it is in
// trouble: a bounded log with a time for every line that any number of readers
// may follow, the recognizer of panics, traps, hangs and warnings, and how far a
// boot came. It knows text, not machines.
package console

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Options bounds a Log. The zero value takes the defaults.
type Options struct {
	Head int // bytes kept from the start; 0: 1 MiB
	Tail int // bytes kept from the end; 0: 4 MiB
	// Since tells the time since the start of the log; nil: monotonic from New.
	Since func() time.Duration
}

const (
	defaultHead = 1 << 20
	defaultTail = 4 << 20
	// maxLine bounds a line; a longer one is kept in pieces.
	maxLine = 4096
	// lineCost is what a kept line costs beyond its text, so that a guest that
	// prints only newlines is bounded too.
	lineCost = 48
)

// Line is one line, or a piece of one, as the guest sent it.
type Line struct {
	Offset int64         // place of its first byte in all that was said
	At     time.Duration // when its first byte came, since the start of the log
	Text   []byte        // without the newline
	Ended  bool          // a newline followed; false: the next line continues it
}

// size is the number of bytes of the stream that the line stands for.
func (l Line) size() int64 {
	if l.Ended {
		return int64(len(l.Text)) + 1
	}
	return int64(len(l.Text))
}

// Log keeps the head and the tail of what was written and drops the middle. It
// implements runners.Console. Write never waits for a reader; every method is
// safe for concurrent use.
type Log struct {
	headMax, tailMax int
	since            func() time.Duration

	mu       sync.Mutex
	head     []Line
	tail     []Line // a queue: tail[first:] is kept
	first    int
	headCost int
	tailCost int
	headFull bool  // everything from here on goes to the tail
	cur      Line  // the line under way
	texts    texts // of tail's lines
	total    int64
	scan     *Scanner
	parts    []*Part
	changed  chan struct{} // closed and replaced when something was written
	waiting  int           // readers that wait on changed
	closed   bool
}

var _ runners.Console = (*Log)(nil)

// New returns an empty log whose time starts now.
func New(o Options) *Log {
	if o.Head <= 0 {
		o.Head = defaultHead
	}
	if o.Tail <= 0 {
		o.Tail = defaultTail
	}
	if o.Since == nil {
		start := time.Now()
		o.Since = func() time.Duration { return time.Since(start) }
	}
	return &Log{headMax: o.Head, tailMax: o.Tail, since: o.Since, scan: NewScanner(), changed: make(chan struct{})}
}

// Write adds what the guest said. It takes everything and returns no error.
func (l *Log) Write(p []byte) (int, error) {
	now := l.since()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(p, now)
	l.scan.Write(p)
	return len(p), nil
}

// add keeps text and tells readers.
func (l *Log) add(p []byte, now time.Duration) {
	for rest := p; len(rest) > 0; {
		rest = rest[l.take(rest, now):]
	}
	l.wake()
}

// take adds to the line under way, as far as its end or p's, and returns how many
// bytes it took.
func (l *Log) take(p []byte, now time.Duration) int {
	if len(l.cur.Text) == 0 {
		l.cur.Offset, l.cur.At = l.total, now
	}
	n := min(len(p), maxLine-len(l.cur.Text))
	if i := bytes.IndexByte(p[:n], '\n'); i >= 0 {
		n, l.cur.Ended = i, true
	}
	l.cur.Text = append(l.cur.Text, p[:n]...)
	if l.cur.Ended {
		n++
	}
	l.total += int64(n)
	if l.cur.Ended || len(l.cur.Text) == maxLine {
		l.keep()
	}
	return n
}

// keep moves the line under way to the head or the tail.
func (l *Log) keep() {
	line := l.cur
	l.cur = Line{Text: l.cur.Text[:0]}
	cost := len(line.Text) + lineCost
	if !l.headFull && l.headCost+cost <= l.headMax {
		line.Text = slices.Clone(line.Text)
		l.head = append(l.head, line)
		l.headCost += cost
		return
	}
	l.headFull = true
	line.Text = l.texts.push(line.Text)
	l.tail = append(l.tail, line)
	l.tailCost += cost
	for l.tailCost > l.tailMax && l.first < len(l.tail)-1 {
		l.tailCost -= len(l.tail[l.first].Text) + lineCost
		l.tail[l.first] = Line{}
		l.first++
		l.texts.pop()
	}
	if l.first > 1024 && l.first > len(l.tail)/2 {
		n := copy(l.tail, l.tail[l.first:])
		clear(l.tail[n:])
		l.tail, l.first = l.tail[:n], 0
	}
}

func (l *Log) wake() {
	if l.waiting == 0 {
		return
	}
	close(l.changed)
	l.changed = make(chan struct{})
	l.waiting = 0
}

// Close says that nothing more will come: readers that follow get the rest and
// end. Writing after Close is still kept. It never fails.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
	return nil
}

// Crashes lists the crashes found so far, those of its parts too, oldest first, each
// signature once. The title and text of a report that is still arriving may yet grow.
func (l *Log) Crashes() []runners.Crash {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.scan.Crashes()
	for _, p := range l.parts {
		for _, c := range p.scan.Crashes() {
			if len(all) < maxCrashes && !slices.ContainsFunc(all, func(o runners.Crash) bool { return o.Signature == c.Signature }) {
				all = append(all, c)
			}
		}
	}
	return all
}

// Findings lists what else the console says that is worth knowing, in order.
func (l *Log) Findings() []Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scan.Findings()
}

// Banners is how many times a kernel began to speak; more than one means that the
// machine was reset.
func (l *Log) Banners() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scan.Banners()
}

// Arriving says whether a report has begun and is not over; see Scanner.Arriving.
func (l *Log) Arriving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scan.Arriving()
}

// Phase says how far the boot came.
func (l *Log) Phase() Phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scan.Phase()
}

// Tail returns the last n bytes said, fewer when the log does not reach back so
// far without a gap.
func (l *Log) Tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= 0 {
		return ""
	}
	from := max(l.total-int64(n), 0)
	out := make([]byte, 0, min(int64(n), l.total))
	for from < l.total {
		line, missed := l.at(from)
		if missed > 0 {
			out = out[:0]
			from += missed
		}
		out = append(out, tailOf(line, from)...)
		from = line.Offset + line.size()
	}
	return string(out)
}

// tailOf returns the stream's bytes of line from offset from on.
func tailOf(line Line, from int64) []byte {
	b := line.Text[min(from-line.Offset, int64(len(line.Text))):]
	if line.Ended {
		b = append(b[:len(b):len(b)], '\n')
	}
	return b
}

// at finds the kept line that holds the byte at offset, or the first one after
// it, and how many bytes are missing between. offset is below l.total.
func (l *Log) at(offset int64) (line Line, missed int64) {
	tail := l.tail[l.first:]
	for _, part := range [][]Line{l.head, tail, {l.cur}} {
		if line, ok := find(part, offset); ok {
			return line, max(line.Offset-offset, 0)
		}
	}
	return Line{Offset: offset}, 0
}

// Size is how many bytes have been written.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
