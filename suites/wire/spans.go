package wire

import "slices"

// span is a range of a stream that was sent n times.
type span struct {
	from, to int64
	n        int
}

// maxSpans bounds what is remembered of one direction of a stream. Beyond, the two
// oldest become one, with the higher count and what lay between.
const maxSpans = 1024

// spans tell how often each byte was sent; sorted, and not overlapping.
type spans []span

// add counts a transmission of [from, to), and says whether a byte of it was new.
func (s *spans) add(from, to int64) (fresh bool) {
	if from >= to {
		return false
	}
	all := *s
	if n := len(all); n == 0 || all[n-1].to <= from {
		if n > 0 && all[n-1].to == from && all[n-1].n == 1 {
			all[n-1].to = to
			return true
		}
		*s = append(all, span{from, to, 1})
		s.trim()
		return true
	}
	i, _ := slices.BinarySearchFunc(all, from, func(p span, x int64) int {
		if p.to <= x {
			return -1
		}
		return 1
	})
	var part []span // what takes the place of all[i:j]
	j := i
	for ; j < len(all) && all[j].from < to; j++ {
		p := all[j]
		if p.from < from {
			part = append(part, span{p.from, from, p.n})
			p.from = from
		}
		if from < p.from {
			part, fresh = append(part, span{from, p.from, 1}), true
		}
		end := min(p.to, to)
		part = append(part, span{p.from, end, p.n + 1})
		if end < p.to {
			part = append(part, span{end, p.to, p.n})
		}
		from = end
	}
	if from < to {
		part, fresh = append(part, span{from, to, 1}), true
	}
	*s = joined(slices.Replace(all, i, j, part...), max(i-1, 0), i+len(part)+1)
	s.trim()
	return fresh
}

// joined makes one of neighbours of equal count within [i, j).
func joined(s spans, i, j int) spans {
	j = min(j, len(s))
	keep := i
	for k := i + 1; k < j; k++ {
		if s[keep].to == s[k].from && s[keep].n == s[k].n {
			s[keep].to = s[k].to
			continue
		}
		keep++
		s[keep] = s[k]
	}
	return slices.Delete(s, keep+1, max(j, keep+1))
}

func (s *spans) trim() {
	for len(*s) > maxSpans {
		all := *s
		all[1] = span{all[0].from, all[1].to, max(all[0].n, all[1].n)}
		*s = all[1:]
	}
}

// most is how often the byte of [from, to) that was sent most often was sent.
func (s spans) most(from, to int64) int {
	n := 0
	for i := len(s) - 1; i >= 0 && s[i].to > from; i-- {
		if s[i].from < to {
			n = max(n, s[i].n)
		}
	}
	return n
}
