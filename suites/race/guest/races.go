//go:build linux || freebsd

package guest

import "sync/atomic"

// line keeps its neighbours from sharing a cache line: windows are to be as short
// as they look.
type line [64]byte

// batch is how many updates lie between two comparisons.
const batch = 32

// update: two threads add one to a counter by load and store. After each batch
// they meet and compare the counter with what they added.
type update struct {
	sum  atomic.Uint64
	_    line
	at   [2]atomic.Uint64 // updates done by a thread; at a multiple of batch it waits
	_    line
	open atomic.Uint64 // updates that each thread may do
}

func newUpdate() *update {
	u := &update{}
	u.open.Store(batch)
	return u
}

func (u *update) side(thread int, over *atomic.Bool) bool {
	u.sum.Store(u.sum.Load() + 1)
	n := u.at[thread].Add(1)
	if n%batch != 0 {
		return false
	}
	if thread == 1 {
		for u.open.Load() == n && !over.Load() {
		}
		return false
	}
	for u.at[1].Load() != n {
		if over.Load() {
			return false
		}
	}
	lost := u.sum.Load() != 2*n
	u.open.Store(n + batch)
	return lost
}

// nodes is how many a stack holds.
const nodes = 8

// stack is Treiber's, without the tag that tells a head that came back from one
// that never went. Thread 1 takes two nodes, gives the first back and keeps the
// second until its next operation. A pop that has read the head and its next
// before that, and swaps after it, puts a node on the stack that is in use.
type stack struct {
	head atomic.Int32 // index of a node; -1: empty
	_    line
	kept int32 // by thread 1; -1: none
	_    line
	next [nodes]atomic.Int32
	used [nodes]atomic.Bool // popped, and not pushed yet
}

func newStack() *stack {
	s := &stack{kept: -1}
	for i := range int32(nodes) {
		s.next[i].Store(i - 1)
	}
	s.head.Store(nodes - 1)
	return s
}

// pop takes a node; -1: there is none. It reports a node that was in use.
func (s *stack) pop() (node int32, fault bool) {
	for {
		h := s.head.Load()
		if h < 0 {
			return h, false
		}
		if s.head.CompareAndSwap(h, s.next[h].Load()) {
			return h, !s.used[h].CompareAndSwap(false, true)
		}
	}
}

func (s *stack) push(node int32) {
	if node < 0 {
		return
	}
	s.used[node].Store(false)
	for {
		h := s.head.Load()
		s.next[node].Store(h)
		if s.head.CompareAndSwap(h, node) {
			return
		}
	}
}

func (s *stack) side(thread int, _ *atomic.Bool) bool {
	if thread == 1 && s.kept >= 0 {
		s.push(s.kept)
		s.kept = -1
		return false
	}
	first, fault := s.pop()
	if thread == 0 {
		s.push(first)
		return fault
	}
	second, again := s.pop()
	s.push(first)
	s.kept = second
	return fault || again
}

// slots is how many objects take turns.
const slots = 16

// retire: a reader takes the pointer to the current object and then counts itself
// in. The writer puts another in its place, looks through all counts as one with
// a list of retired objects does, and poisons the old one if nobody is in it.
type retire struct {
	current  atomic.Int32
	_        line
	readers  [slots]atomic.Int32
	poisoned [slots]atomic.Bool
}

func newRetire() *retire { return &retire{} }

func (r *retire) side(thread int, _ *atomic.Bool) bool {
	if thread == 0 {
		at := r.current.Load()
		r.readers[at].Add(1)
		gone := r.poisoned[at].Load()
		r.readers[at].Add(-1)
		return gone
	}
	old := r.current.Load()
	fresh := (old + 1) % slots
	r.poisoned[fresh].Store(false)
	r.current.Store(fresh)
	busy := false
	for i := range int32(slots) {
		busy = r.readers[i].Load() > 0 && i == old || busy
	}
	if !busy {
		r.poisoned[old].Store(true)
	}
	return false
}
