package qemu

import (
	"slices"
	"sync"
	"time"
)

// Deadlines of a connection: one that is over, and none.
var past, never = time.Unix(1, 0), time.Time{}

// tape gives what is written to it to whoever records. It never fails.
type tape struct {
	mu    sync.Mutex
	reels []*reel
}

// reel is one recording.
type reel struct {
	text  []byte // that nobody has taken yet
	limit int
	lost  int64 // bytes that nobody can take
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.reels {
		n := min(len(p), r.limit-len(r.text))
		r.text = append(r.text, p[:n]...)
		r.lost += int64(len(p) - n)
	}
	return len(p), nil
}

// record keeps what comes from now on until stop. Both can be called again.
func (t *tape) record(limit int) (take func() []byte, stop func() int64) {
	r := &reel{limit: max(limit, 0)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reels = append(t.reels, r)
	take = func() []byte {
		t.mu.Lock()
		defer t.mu.Unlock()
		text := r.text
		r.text = nil
		return text
	}
	stop = func() int64 {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.reels = slices.DeleteFunc(t.reels, func(o *reel) bool { return o == r })
		return r.lost
	}
	return take, stop
}
