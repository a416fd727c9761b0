package judge

import (
	"slices"
	"sort"
)

// Span is a range of offsets, without its end.
type Span struct{ Start, End int64 }

// spans is a set of offsets: ordered ranges that neither overlap nor touch.
type spans []Span

// at is the index of the first range that ends behind off.
func (r spans) at(off int64) int {
	return sort.Search(len(r), func(i int) bool { return r[i].End > off })
}

// has says whether all of [start, end) is in the set. An empty range is.
func (r spans) has(start, end int64) bool {
	if start >= end {
		return true
	}
	i := r.at(start)
	return i < len(r) && r[i].Start <= start && end <= r[i].End
}

// add puts [start, end) into the set, calls fresh with each part that was not in it,
// and returns how many entries it moved.
func (r *spans) add(start, end int64, fresh func(Span)) (moved int) {
	if start >= end {
		return 0
	}
	s := *r
	// First and behind the last of the ranges that overlap or touch it.
	i := sort.Search(len(s), func(i int) bool { return s[i].End >= start })
	j, from := i, start
	merged := Span{start, end}
	for ; j < len(s) && s[j].Start <= end; j++ {
		if fresh != nil && from < s[j].Start {
			fresh(Span{from, s[j].Start})
		}
		from = max(from, s[j].End)
		merged = Span{min(merged.Start, s[j].Start), max(merged.End, s[j].End)}
	}
	if fresh != nil && from < end {
		fresh(Span{from, end})
	}
	moved = len(s) - i
	*r = slices.Replace(s, i, j, merged)
	return moved
}

// cut takes everything before off out of the set.
func (r *spans) cut(off int64) {
	i := r.at(off)
	*r = (*r)[i:]
	if len(*r) > 0 && (*r)[0].Start < off {
		(*r)[0].Start = off
	}
}

// above is how many bytes of the set lie at or behind off, and in how many ranges,
// counting no further than limit ranges.
func (r spans) above(off int64, limit int) (bytes int64, ranges int) {
	for i := r.at(off); i < len(r) && ranges < limit; i++ {
		bytes += r[i].End - max(r[i].Start, off)
		ranges++
	}
	return bytes, ranges
}

// total is how many offsets are in the set.
func (r spans) total() (n int64) {
	for _, s := range r {
		n += s.End - s.Start
	}
	return n
}
