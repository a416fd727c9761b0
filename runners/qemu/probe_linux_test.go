package qemu

import (
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
