package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// noise draws n values around 0. Their standard deviation is 1, outliers left out.
type noise func(r *rand.Rand, n int) []float64

func gaussian(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

// remembering keeps half of its last value, as a host that warms up or is busy for a
// while: AR(1).
func remembering(r *rand.Rand, n int) []float64 {
	const rho = .5
	v := make([]float64, n)
	x := r.NormFloat64()
	for i := range v {
		x = rho*x + math.Sqrt(1-rho*rho)*r.NormFloat64()
		v[i] = x
	}
	return v
}

// outlying has 4 % of its values 5 to 15 standard deviations off, to either side.
func outlying(r *rand.Rand, n int) []float64 {
	v := gaussian(r, n)
	for i := range v {
		if r.Float64() < .04 {
			v[i] += math.Copysign(5+10*r.Float64(), r.Float64()-.5)
		}
	}
	return v
}

// bimodal is at one of two levels, drawn for each value, as with a boot that lays out
// its memory in one of two ways.
func bimodal(r *rand.Rand, n int) []float64 {
	const level = .9
	v := gaussian(r, n)
	for i := range v {
		v[i] = math.Sqrt(1-level*level)*v[i] + math.Copysign(level, r.Float64()-.5)
	}
	return v
}

const (
	residualWidth  = 7  // points of the running median that residuals are from: levels that last longer are no noise
	leastResiduals = 62 // values of a series that residuals are taken of
	residualBlock  = 10 // neighbours that are drawn together, with what they remember
)

// residuals gives the noise that series have around their running medians: each
// draw is from blocks of one of them, chosen at random. The blocks are of residuals
// divided by their standard deviation.
func residuals(series []namedSeries) (noise, error) {
	var pools [][]float64
	for _, s := range series {
		if len(s.Values) < leastResiduals {
			continue
		}
		var pool []float64
		sum := 0.0
		for i, x := range s.Values {
			lo, hi := max(0, i-residualWidth/2), min(len(s.Values), i+residualWidth/2+1)
			x -= median(s.Values[lo:hi])
			pool, sum = append(pool, x), sum+x*x
		}
		sd := math.Sqrt(sum / float64(len(pool)))
		if sd == 0 || math.IsInf(sd, 0) || math.IsNaN(sd) {
			continue
		}
		for i := range pool {
			pool[i] /= sd
		}
		pools = append(pools, pool)
	}
	if len(pools) == 0 {
		return nil, fmt.Errorf("no series of %d or more values that vary", leastResiduals)
	}
	return func(r *rand.Rand, n int) []float64 {
		pool := pools[r.IntN(len(pools))]
		var v []float64
		for len(v) < n {
			at := r.IntN(len(pool) - residualBlock + 1)
			v = append(v, pool[at:at+residualBlock]...)
		}
		return v[:n]
	}, nil
}

// changesOf gives the changes of one series that is looked at by itself.
func changesOf(values []float64) []verdict.Change {
	return verdict.Changes([]verdict.Metric{{Quantity: verdict.Plain, Values: values}})[0]
}
