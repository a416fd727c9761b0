package main

import "testing"

// Each round is a pair: its ratio is taken before the median.
func TestBuildRounds(t *testing.T) {
	var d buildBench
	d.incremental([]float64{10, 40, 20}, []float64{15, 85, 17})
	if d.MakeS != 20 || d.ImageS != 17 || d.IncrementalRatio != 1 {
		t.Errorf("%+v", d)
	}
}
