package bisect

// order knows which commits contain which. On a linear line that is all the
// earlier ones; otherwise below[i] lists the ancestors of i, itself included.
type order struct {
	n     int
	below [][]int32
}

func newOrder(l Line) order {
	o := order{n: len(l)}
	if l.linear() {
		return o
	}
	o.below = make([][]int32, len(l))
	mark := make([]int32, len(l)) // the last commit that has seen each as an ancestor
	for i, c := range l {
		parents := c.Parents
		if parents == nil && i > 0 {
			parents = []int{i - 1}
		}
		var all []int32
		for _, p := range parents {
			for _, a := range o.below[p] {
				if mark[a] != int32(i) {
					mark[a] = int32(i)
					all = append(all, a)
				}
			}
		}
		o.below[i] = append(all, int32(i))
	}
	return o
}

// sums gives, for each commit, the sum of values over the commits that it contains.
func (o order) sums(values, out []float64) []float64 {
	if o.below == nil {
		total := 0.0
		for i, v := range values {
			total += v
			out[i] = total
		}
		return out
	}
	for i, below := range o.below {
		total := 0.0
		for _, a := range below {
			total += values[a]
		}
		out[i] = total
	}
	return out
}

// contains says whether commit i has a in its history, or is it.
func (o order) contains(i, a int) bool {
	if o.below == nil {
		return a <= i
	}
	for _, b := range o.below[i] {
		if int(b) == a {
			return true
		}
	}
	return false
}

// signatures gives each commit a number that two commits share if, and almost
// surely only if, the same chosen commits contain them.
func (o order) signatures(chosen []int) []uint64 {
	out := make([]uint64, o.n)
	if o.below == nil {
		// Only how many of the chosen come before matters.
		for _, at := range chosen {
			if at+1 < o.n {
				out[at+1]++
			}
		}
		for i := 1; i < o.n; i++ {
			out[i] += out[i-1]
		}
		return out
	}
	for _, at := range chosen {
		key := mix(uint64(at) + 1)
		for _, a := range o.below[at] {
			out[a] ^= key
		}
	}
	return out
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, 2014): a good hash of small numbers.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
