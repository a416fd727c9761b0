package plot

import (
	"cmp"
	"slices"
)

// What falls on the same pixels is drawn once. When that is still too much the pixels
// get coarser, so that a picture has a bounded size and nothing is left out of it.

// bar is a vertical line of the picture, in pixels; y grows downwards.
type bar struct{ x, top, bottom float64 }

// Bounds of what is in a picture; some 25 bytes each, and 250 with a title.
const (
	maxBars   = 9000
	maxTitled = 1200
)

// thin merges bars of one column that touch, in columns that are wide enough for at
// most limit bars to be left.
func thin(bars []bar, limit int) []bar {
	for width := 0.5; ; width *= 2 {
		out := columns(bars, width)
		if len(out) <= limit || width > 1e4 {
			return out
		}
	}
}

// columns merges the bars of each column of a width; from two pixels on, over gaps of
// the same size, too.
func columns(bars []bar, width float64) []bar {
	all := make([]bar, len(bars))
	for i, b := range bars {
		all[i] = bar{snap(b.x, width), b.top, b.bottom}
	}
	slices.SortFunc(all, func(a, b bar) int {
		return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.top, b.top), cmp.Compare(a.bottom, b.bottom))
	})
	gap := 0.0
	if width >= 2 {
		gap = width
	}
	out := all[:0]
	for _, b := range all {
		if n := len(out); n > 0 && out[n-1].x == b.x && (b.top <= out[n-1].bottom+gap) {
			out[n-1].bottom = max(out[n-1].bottom, b.bottom)
			continue
		}
		out = append(out, b)
	}
	return out
}

// snap is the middle of the column that holds x; of narrow columns their beginning.
func snap(x, width float64) float64 {
	n := float64(int64(x / width))
	if width < 1 {
		return n * width
	}
	return n*width + width/2
}

// group is what is drawn as one mark: the places in a list of what it stands for.
type group struct {
	bar     // that covers them all, at the first one's x
	members []int32
}

// grouped puts things that fall into the same cell together, in cells that are large
// enough for at most limit groups to be left. place says where the i-th is.
func grouped(n, limit int, place func(i int) bar) []group {
	for size := 1.0; ; size *= 2 {
		type cell struct{ x, y int32 }
		at := map[cell]int{}
		var out []group
		for i := range n {
			b := place(i)
			key := cell{int32(b.x / size), int32((b.top + b.bottom) / 2 / size)}
			g, known := at[key]
			if !known {
				g = len(out)
				at[key] = g
				out = append(out, group{bar: b})
			}
			out[g].top, out[g].bottom = min(out[g].top, b.top), max(out[g].bottom, b.bottom)
			out[g].members = append(out[g].members, int32(i))
			if len(out) > limit && size < 1e4 {
				break
			}
		}
		if len(out) <= limit || size >= 1e4 {
			return out
		}
	}
}
