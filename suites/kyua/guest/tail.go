package guest

import (
	"strings"
	"sync"
)

// tail keeps the end of what is written to it, and tells who waits for more.
type tail struct {
	limit int

	mu      sync.Mutex
	kept    []byte
	total   int64         // bytes ever written
	changed chan struct{} // closed by the next write
}

func newTail(limit int) *tail {
	return &tail{limit: limit, changed: make(chan struct{})}
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += int64(len(b))
	t.kept = append(t.kept, b[max(0, len(b)-t.limit):]...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	close(t.changed)
	t.changed = make(chan struct{})
	return len(b), nil
}

// from returns at most limit bytes of what was written from offset on, where they
// begin and end, and a channel that closes when there is more.
func (t *tail) from(offset int64, limit int) (text string, begin, end int64, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	begin = min(max(offset, t.total-int64(len(t.kept))), t.total)
	part := t.kept[len(t.kept)-int(t.total-begin):]
	part = part[:min(limit, len(part))]
	return strings.ToValidUTF8(string(part), "?"), begin, begin + int64(len(part)), t.changed
}
