package plot

import (
	"math"
	"strconv"
)

// axis maps values to a range of pixels.
type axis struct {
	from, to   float64 // values, from < to
	start, end float64 // pixels
}

// newAxis widens a range without extent.
func newAxis(from, to, least, start, end float64) axis {
	if to-from < least {
		to = from + least
	}
	return axis{from, to, start, end}
}

// at is a value's pixel; what lies outside is at the edge.
func (a axis) at(v float64) float64 {
	f := (v - a.from) / (a.to - a.from)
	f = min(1, max(0, f))
	return a.start + f*(a.end-a.start)
}

// step is the least 1, 2 or 5 times a power of ten of which at most n fit in the axis.
func (a axis) step(n int, least float64) float64 {
	raw := (a.to - a.from) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if s := m * power; s >= raw*(1-1e-9) {
			return max(s, least)
		}
	}
	return max(10*power, least)
}

// maxTicks bounds the ticks of an axis, whatever its values are.
const maxTicks = 50

// ticks are the multiples of step on the axis.
func (a axis) ticks(step float64) (out []float64) {
	for i := math.Ceil(a.from/step - 1e-9); i*step <= a.to*(1+1e-12) && len(out) < maxTicks; i++ {
		out = append(out, i*step)
	}
	return out
}

// secondsTick writes a time on an axis with that step.
func secondsTick(v, step float64) string {
	return strconv.FormatFloat(v+0, 'f', decimals(step), 64)
}

// decimals that tell multiples of step apart.
func decimals(step float64) int {
	return min(9, max(0, int(math.Ceil(-math.Log10(step)-1e-9))))
}

// bytesTick writes a number of bytes on an axis that ends at most.
func bytesTick(v, step, most float64) string {
	unit, name := 1.0, ""
	switch {
	case most >= 2e9:
		unit, name = 1e9, " G"
	case most >= 2e6:
		unit, name = 1e6, " M"
	case most >= 1e4:
		unit, name = 1e3, " k"
	}
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v/unit, 'f', decimals(step/unit), 64) + name
}
