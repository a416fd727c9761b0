package bisect

import "math/bits"

// order knows which commits contain which. On a linear line that is all the
// earlier ones; otherwise below[i] has a bit for each ancestor of i, itself included.
type order struct {
	n     int
	below [][]uint64
}

func newOrder(l Line) order {
	o := order{n: len(l)}
	if l.linear() {
		return o
	}
	o.below = make([][]uint64, len(l))
	for i := range l {
		set := make([]uint64, i/64+1)
		for _, p := range l.parents(i) {
			for w, word := range o.below[p] {
				set[w] |= word
			}
		}
		set[i/64] |= 1 << (i % 64)
		o.below[i] = set
	}
	return o
}

// contains says whether commit i has a in its history, or is it.
func (o order) contains(i, a int) bool {
	if o.below == nil || a > i {
		return a <= i
	}
	return o.below[i][a/64]>>(a%64)&1 == 1
}

// each calls f with every commit that i contains, i included.
func (o order) each(i int, f func(a int)) {
	if o.below == nil {
		for a := range i + 1 {
			f(a)
		}
		return
	}
	for w, word := range o.below[i] {
		for ; word != 0; word &= word - 1 {
			f(w*64 + bits.TrailingZeros64(word))
		}
	}
}

// partition numbers the commits by which of the chosen ones contain them, in the
// order of their first members. Commits with one number cannot be told apart by
// asking the chosen.
func (o order) partition(chosen []int) []int {
	out := make([]int, o.n)
	if o.below == nil {
		// Only how many of the chosen come before matters.
		for _, at := range chosen {
			if at+1 < o.n {
				out[at+1] = 1
			}
		}
		for i := 1; i < o.n; i++ {
			out[i] += out[i-1]
		}
		return out
	}
	keys := make([]uint64, o.n)
	for _, at := range chosen {
		key := mix(uint64(at) + 1)
		o.each(at, func(a int) { keys[a] ^= key })
	}
	number := map[uint64]int{}
	for i, k := range keys {
		if _, ok := number[k]; !ok {
			number[k] = len(number)
		}
		out[i] = number[k]
	}
	return out
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, 2014). Sums of such keys over different sets of
// commits are equal with a chance of 2^-64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
