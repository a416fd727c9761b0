package qemu

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Probe finds the accelerator to use: "kvm" when KVM runs code to its end,
// else "tcg"; detail says what was found. That /dev/kvm opens proves nothing:
// nested KVM can hang at the first real-mode instruction. The answer is kept for
// the life of the runner, unless ctx ended the probe.
func (r *Runner) Probe(ctx context.Context) (accel, detail string) {
	r.probing.Lock()
	defer r.probing.Unlock()
	if r.accel != "" {
		return r.accel, r.detail
	}
	accel, detail = "kvm", "KVM runs code"
	if err := r.proveKVM(ctx); err != nil {
		accel, detail = "tcg", "no KVM: "+err.Error()
	}
	if ctx.Err() == nil {
		r.accel, r.detail = accel, detail
	}
	return accel, detail
}

// probeTime is how long an accelerator may take for the probe, on a host that gives it
// CPU. KVM has a few thousand instructions to run.
const probeTime = 5 * time.Second

// errProbeHangs says that the probe did not end.
var errProbeHangs = fmt.Errorf("it hangs: %v for a few instructions", probeTime)

// pace is how much slower guests run here than where patience was measured: 1 there, 3
// where everything takes three times as long. It is measured once for each accelerator,
// and for the clock that counts instructions.
func (r *Runner) pace(ctx context.Context, o Options) float64 {
	r.probing.Lock()
	defer r.probing.Unlock()
	key := o.Accel
	if o.Virtual {
		key += ", virtual clock"
	}
	if p, ok := r.paces[key]; ok {
		return p
	}
	p := 1.0
	accel, clock := chassis{accel: o.Accel, ahead: o.Virtual}.engine()
	took, err := r.loopTime(ctx, accel, clock...)
	switch {
	case err == nil:
		p = paceOf(took)
	case errors.Is(err, errProbeHangs): // the host is busy beyond measure, so nobody is accused in haste
		p = worstPace
	}
	r.logger.Debug("pace of guests", "accel", key, "pace", p, "loop", took, "err", err)
	if ctx.Err() == nil {
		if r.paces == nil {
			r.paces = map[string]float64{}
		}
		r.paces[key] = p
	}
	return p
}

// paceOf judges by the CPU time of the loop. Devices and disks are no faster with KVM
// than without, and a loop is not all that a boot does: there are limits.
func paceOf(took time.Duration) float64 {
	return min(max(took.Seconds()/loopReference.Seconds(), slowestIO), worstPace)
}

const (
	// loopReference is the CPU time of the loop where patience was measured: two cores of a
	// cloud's server of 2023, QEMU 7.2, TCG.
	loopReference = 200 * time.Millisecond
	slowestIO     = 0.5
	worstPace     = 10
)
