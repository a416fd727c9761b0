package main

import (
	"testing"

	race "github.com/headwatch/headwatch/suites/race/guest"
)

func TestRaceBenchCounts(t *testing.T) {
	var d raceBench
	for _, f := range []race.Found{{Found: true, After: 3}, {Found: false, After: 20}, {Found: true, After: 1}} {
		d.add(f, false)
	}
	d.add(race.Found{Found: false, After: 20}, true)
	if median(d.Plain) != 3 || median(d.Pressure) != 20 || d.Missed != 1 || d.PMissed != 1 {
		t.Errorf("%+v", d)
	}
	if d.Plain[0] != 3 {
		t.Error("the order of the searches is lost")
	}
}

// The median of the searches is that of an odd number.
func TestRacePairsAreOdd(t *testing.T) {
	if racePairs%2 == 0 {
		t.Errorf("%d pairs", racePairs)
	}
}
