package verdict

import (
	"math"
	"slices"
)

// madScale makes a median of absolute deviations the standard deviation of a
// normal distribution.
const madScale = 1.4826

// median is the middle of the values, which it reorders; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	h := len(v) / 2
	selectNth(v, h)
	if len(v)%2 == 1 {
		return v[h]
	}
	return slices.Max(v[:h])/2 + v[h]/2
}

// selectNth puts the value at n that sorting would put there, with none that is
// greater before it (Hoare's FIND, 1961). Values are finite.
func selectNth(v []float64, n int) {
	for lo, hi := 0, len(v)-1; hi > lo; {
		if hi-lo < 16 {
			slices.Sort(v[lo : hi+1])
			return
		}
		pivot := max(min(v[lo], v[hi]), min(max(v[lo], v[hi]), v[(lo+hi)/2])) // the middle one of three
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return
		}
	}
}

// runningMedian gives the median of the width values around each, fewer at the
// ends. The width is odd.
func runningMedian(v []float64, width int) []float64 {
	out := make([]float64, len(v))
	half := width / 2
	window := make([]float64, 0, width+1)
	for i := range min(half, len(v)) {
		window = insertSorted(window, v[i])
	}
	for i := range v {
		if j := i + half; j < len(v) {
			window = insertSorted(window, v[j])
		}
		if j := i - half - 1; j >= 0 {
			at, _ := slices.BinarySearch(window, v[j])
			window = slices.Delete(window, at, at+1)
		}
		h := len(window) / 2
		if out[i] = window[h]; len(window)%2 == 0 {
			out[i] = window[h-1]/2 + window[h]/2
		}
	}
	return out
}

func insertSorted(v []float64, x float64) []float64 {
	at, _ := slices.BinarySearch(v, x)
	return slices.Insert(v, at, x)
}

// differenceSigma estimates the noise from the differences of neighbours, of which
// few span a step.
func differenceSigma(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	d := make([]float64, len(v)-1)
	for i := range d {
		d[i] = math.Abs(v[i+1] - v[i])
	}
	return madScale * median(d) / math.Sqrt2
}

// deviation is the root of the mean square of v around the levels.
func deviation(v, level []float64) float64 {
	sum := 0.0
	for i := range v {
		sum += (v[i] - level[i]) * (v[i] - level[i])
	}
	return math.Sqrt(sum / float64(max(1, len(v))))
}

// winsorize moves what is farther than limit from its level to that distance.
func winsorize(v, level []float64, limit float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = min(max(v[i], level[i]-limit), level[i]+limit)
	}
	return out
}
