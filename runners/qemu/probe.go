package qemu

import "context"

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
