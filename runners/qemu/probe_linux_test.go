package qemu

import (
	"context"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	start := time.Now()
	accel, detail := r.Probe(t.Context())
	took := time.Since(start)
	t.Logf("%s: %s (%v)", accel, detail, took)
	if accel != "kvm" && accel != "tcg" || detail == "" || took > 4*probeTime {
		t.Errorf("%q, %q after %v", accel, detail, took)
	}
	start = time.Now()
	if again, _ := r.Probe(t.Context()); again != accel || time.Since(start) > probeTime/2 {
		t.Errorf("asked again: %q after %v", again, time.Since(start))
	}
}

// The probe's code must reach its end where code does run: under emulation.
func TestProbeFirmwareEnds(t *testing.T) {
	requireQEMU(t)
	binary, err := New(Config{}).binary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runProbe(t.Context(), binary, "tcg", probeLoops); err != nil {
		t.Error(err)
	}
}

// The pace of each kind of guest is measured once, for the clock that counts instructions
// by itself.
func TestPace(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	for _, virtual := range []bool{false, true} {
		o := Options{Accel: "tcg", Virtual: virtual}
		p := r.pace(t.Context(), o)
		if p < slowestIO || p > worstPace {
			t.Errorf("virtual %v: %v", virtual, p)
		}
		t.Logf("virtual %v: %.2f", virtual, p)
		began := time.Now()
		if again := r.pace(t.Context(), o); again != p || time.Since(began) > 50*time.Millisecond {
			t.Errorf("virtual %v: %v again, after %v", virtual, again, time.Since(began))
		}
	}
	if len(r.paces) != 2 {
		t.Errorf("%v", r.paces)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	r = New(Config{})
	if r.pace(stopped, Options{Accel: "tcg"}); len(r.paces) != 0 {
		t.Errorf("what was not measured is kept: %v", r.paces)
	}
}
