package qemu

import (
	"context"
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

// pace is how much slower guests run here than where patience was measured: 1 there, 3
// where everything takes three times as long. It is measured once for each accelerator.
func (r *Runner) pace(ctx context.Context, accel string) float64 {
	r.probing.Lock()
	defer r.probing.Unlock()
	if p, ok := r.paces[accel]; ok {
		return p
	}
	p := 1.0
	took, err := r.loopTime(ctx, accel)
	if err != nil {
		r.logger.Debug("the pace of guests is not known", "accel", accel, "err", err)
	} else {
		p = paceOf(took)
	}
	if ctx.Err() == nil {
		if r.paces == nil {
			r.paces = map[string]float64{}
		}
		r.paces[accel] = p
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
