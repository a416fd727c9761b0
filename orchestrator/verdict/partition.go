package verdict

import "math"

// piece is a stretch of levels, up to hi, on which the segment that begins after
// point from is the cheapest one to be in.
type piece struct {
	hi   float64
	from int
}

// partition splits values into stretches of constant level, each of at least least
// points, so that the sum of squared residuals plus penalty for each split is
// smallest. It returns where the stretches after the first begin.
//
// The optimum is exact, and the time about n log n: of all places where the last
// stretch may begin only those are kept that are best for some level (Maidstone et
// al., "On optimal multiple changepoint algorithms for large data", 2017). A
// stretch too short to end yet is not compared with others before it is long
// enough; from then on all that are get the same points, so what was worse stays worse.
func partition(values []float64, penalty float64, least int) []int {
	n := len(values)
	if least < 1 || n < 2*least {
		return nil
	}
	p := &partitioner{penalty: penalty, sum: make([]float64, n+1), square: make([]float64, n+1), best: make([]float64, n+1)}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, v := range values {
		p.sum[i+1], p.square[i+1] = p.sum[i]+v, p.square[i]+v*v
		lo, hi = min(lo, v), max(hi, v)
	}
	p.lo = lo
	begin := make([]int, n+1) // of the last stretch, when the first t points are all
	p.best[0] = -penalty
	for t := least; t <= n; t++ {
		p.end = t
		switch s := t - least; {
		case s == 0:
			p.pieces = append(p.pieces[:0], piece{hi, 0})
		case s >= least: // fewer points cannot be a stretch of their own
			p.enter(s)
		}
		p.best[t], begin[t] = p.cheapest()
	}
	var out []int
	for t := begin[n]; t > 0; t = begin[t] {
		out = append(out, t)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

type partitioner struct {
	penalty     float64
	sum, square []float64 // of the first i values
	best        []float64 // least cost of the first i values; valid from 0 and from least on
	lo          float64   // least level
	end         int       // number of values so far
	pieces      []piece   // ordered, from lo to the highest level
	spare       []piece   // room for the next pieces
}

// quad gives the cost of being at level x since point s: a·x² + b·x + c.
func (p *partitioner) quad(s int) (a, b, c float64) {
	return float64(p.end - s), -2 * (p.sum[p.end] - p.sum[s]), p.square[p.end] - p.square[s] + p.best[s] + p.penalty
}

// enter lets a stretch that begins after point s compete: it takes the levels at
// which it is cheaper than what was cheapest. It has fewer points than any other,
// so those are the levels outside an interval.
func (p *partitioner) enter(s int) {
	out := p.spare[:0]
	add := func(hi float64, from int) {
		if len(out) > 0 && out[len(out)-1].from == from {
			out[len(out)-1].hi = hi
			return
		}
		out = append(out, piece{hi, from})
	}
	a1, b1, c1 := p.quad(s)
	lo := p.lo
	for _, q := range p.pieces {
		a0, b0, c0 := p.quad(q.from)
		a, b, c := a0-a1, b0-b1, c0-c1
		d := b*b - 4*a*c
		if d <= 0 {
			add(q.hi, s)
			lo = q.hi
			continue
		}
		d = math.Sqrt(d)
		left, right := (-b-d)/(2*a), (-b+d)/(2*a)
		if left > lo {
			add(min(left, q.hi), s)
		}
		if left < q.hi && right > lo {
			add(min(right, q.hi), q.from)
		}
		if right < q.hi {
			add(q.hi, s)
		}
		lo = q.hi
	}
	p.spare, p.pieces = p.pieces, out
}

// cheapest finds the best level of all, and where its stretch begins.
func (p *partitioner) cheapest() (cost float64, from int) {
	cost = math.Inf(1)
	lo := p.lo
	for _, q := range p.pieces {
		a, b, c := p.quad(q.from)
		x := min(max(-b/(2*a), lo), q.hi)
		if at := (a*x+b)*x + c; at < cost {
			cost, from = at, q.from
		}
		lo = q.hi
	}
	return cost, from
}
