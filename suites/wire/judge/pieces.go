package judge

import (
	"slices"
	"sort"
	"time"
)

// piece is a range of the guest's sequence space that was sent and is not surely
// acknowledged, with the same history for all of it.
type piece struct {
	start, end  int64
	first, last time.Duration
	sends       int
	lost        bool   // the wire lost it the last time
	anyLost     bool   // or some time
	data        []byte // of [start, end) without SYN and FIN; nil: not known
}

// pieces are ordered, and leave no holes.
type pieces []piece

// at is the index of the piece that holds off, or len when none does.
func (q pieces) at(off int64) int {
	return sort.Search(len(q), func(i int) bool { return q[i].end > off })
}

// split makes off a boundary and returns the index of the piece that begins there,
// and how many entries it moved.
func (q *pieces) split(off int64) (i, moved int) {
	i = q.at(off)
	if i == len(*q) || (*q)[i].start >= off {
		return i, 0
	}
	left, right := (*q)[i], (*q)[i]
	cut := off - left.start
	left.end, right.start = off, off
	if n := int64(len(left.data)); n > 0 {
		left.data, right.data = left.data[:min(cut, n)], left.data[min(cut, n):]
	}
	(*q)[i] = left
	*q = slices.Insert(*q, i+1, right)
	return i + 1, len(*q) - i
}

// between gives the pieces of [start, end), cut to it.
func (q *pieces) between(start, end int64) (part []piece, moved int) {
	_, m := q.split(start)
	j, n := q.split(end)
	i := q.at(start)
	if i >= j {
		return nil, m + n
	}
	return (*q)[i:j], m + n + j - i
}
