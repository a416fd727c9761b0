package main

import (
	"testing"
	"time"
)

// Medians are of each part by itself, and what no part took is told.
func TestOverheadSums(t *testing.T) {
	const ms = time.Millisecond
	var d overheadBench
	d.sum([]stages{{10 * ms, 4 * ms, 1 * ms, 1 * ms}, {90 * ms, 5 * ms, 2 * ms, 1 * ms}, {12 * ms, 6 * ms, 3 * ms, 2 * ms}})
	want := overheadBench{CaseMS: 12, BestMS: 10, WorstMS: 90, StartMS: 5, CloseMS: 2, StoreMS: 1, OtherMS: 4}
	if d != want {
		t.Errorf("%+v, want %+v", d, want)
	}
}

func TestMeterBeginsEachCaseAnew(t *testing.T) {
	var m meter
	burn := func() {
		for before := spentHere(); spentHere() < before+2*time.Millisecond; {
		}
	}
	burn()
	m.next(false)
	m.stage(&m.now.start, burn)
	burn()
	m.next(true)
	m.next(true)
	if len(m.cases) != 2 || m.cases[0].start < 2*time.Millisecond || m.cases[0].all < 4*time.Millisecond || m.cases[1].start != 0 || m.cases[1].all > m.cases[0].all {
		t.Errorf("%+v", m.cases)
	}
}
