package qemu

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/guest"
)

const (
	// Boot timeouts for a Spec that names none. Under emulation a lean cold boot
	// takes 3 to 10 s on an idle host.
	bootTimeoutKVM = 60 * time.Second
	bootTimeoutTCG = 240 * time.Second
	// maxStarved bounds how much a starving QEMU can stretch its boot timeout.
	maxStarved = 3
)

// Boot starts a machine and returns when its agent has answered. ctx bounds the
// boot, not the machine.
func (r *Runner) Boot(ctx context.Context, b runners.Bootable, s runners.Spec) (runners.Machine, error) {
	o, err := r.options(ctx, &b, s)
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	m, err := r.coldBoot(ctx, b.Image.OS, o, substance{}, s)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// coldBoot starts a machine from nothing. Its memory and what it writes to its
// disk go to the substance, if there is one.
func (r *Runner) coldBoot(ctx context.Context, system string, o Options, to substance, s runners.Spec) (*machine, error) {
	asked := time.Now()
	v, err := startVM(ctx, o, to, s.Dir, s.ConsoleLog, r.logger)
	if err != nil {
		return nil, err
	}
	r.logger.Debug("qemu started", "pid", v.proc.cmd.Process.Pid, "command", Quote(o.Cmdline()))
	timeout := s.BootTimeout
	if timeout <= 0 {
		timeout = bootTimeoutTCG
		if o.Accel == "kvm" {
			timeout = bootTimeoutKVM
		}
	}
	pace := func() float64 { return r.pace(ctx, o) }
	client, took, err := powerOn(ctx, v, timeout, pace, v.run)
	if once, reset := errors.AsType[*resetError](err); reset {
		return nil, r.tryAgain(ctx, o, s, timeout, pace, once)
	}
	if err != nil {
		return nil, err
	}
	h := client.Hello()
	m := newMachine(system, o, v, client)
	m.facts = runners.Facts{
		BootID: h.BootID, Kernel: h.Kernel, Accel: o.Accel, Monitor: "QEMU " + v.monitor.version(),
		Booted: time.Now(), BootTime: took, Command: Quote(o.Cmdline()),
		Template: h.BootID, StartTime: time.Since(asked), MACs: o.macs(),
	}
	if o.Accel == "kvm" {
		m.facts.Flags = cpuFlags()
	}
	if err := r.adapt(ctx, m, o); err != nil {
		m.Close() // the first fault counts
		return nil, err
	}
	return m, nil
}

// tryAgain boots a machine once more that has reset itself while it booted, to tell
// whether it does so each time. What it says then nobody keeps.
func (r *Runner) tryAgain(ctx context.Context, o Options, s runners.Spec, timeout time.Duration, pace func() float64, once *resetError) error {
	o.RAM, o.Overlay = "", "" // its disk is the image's again
	v, err := startVM(ctx, o, substance{}, s.Dir, console.New(console.Options{}), r.logger)
	if err != nil {
		return err
	}
	client, _, err := powerOn(ctx, v, timeout, pace, v.run)
	twice, reset := errors.AsType[*resetError](err)
	switch {
	case err == nil:
		client.Close()
		v.stop()
		<-v.done
		v.unplug()
		once.boot.Reason += "; another boot came up"
	case ctx.Err() != nil:
		return err
	case reset && twice.phase == once.phase:
		once.boot.Title = "reset loop " + once.phase.Where()
		once.boot.Reason += "; another boot did the same"
	default:
		once.boot.Reason += "; another boot: " + err.Error()
	}
	return once
}

func newMachine(system string, o Options, v *vm, client *guest.Client) *machine {
	m := &machine{os: system, cpus: o.SMP, ahead: o.Virtual, vm: v, client: client, done: make(chan struct{})}
	m.life, m.lose = context.WithCancelCause(context.Background())
	go m.watch()
	return m
}

// options completes the options of a boot: binary, accelerator, absolute paths.
func (r *Runner) options(ctx context.Context, b *runners.Bootable, s runners.Spec) (Options, error) {
	for _, p := range []*string{&b.Kernel, &b.Initrd, &b.Disk, &b.Meta, &b.Starter} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p) // QEMU runs in the machine's folder
		if err != nil {
			return Options{}, err
		}
		*p = abs
	}
	o, err := optionsFor(*b, s)
	if err != nil {
		return Options{}, err
	}
	if o.Binary, err = r.binary(); err != nil {
		return Options{}, err
	}
	if err := r.checkNICs(ctx, s.NICs); err != nil {
		return Options{}, err
	}
	o.Passthrough = r.passthrough
	if o.fromDisk() {
		if o.Firmware, err = findFirmware(o.Binary, firmwares); err != nil {
			return Options{}, err
		}
	}
	o.silence, o.fence, o.flow = r.silence, r.fence(), r.flow
	switch s.Accel {
	case "kvm", "tcg":
		o.Accel = s.Accel
	case "auto":
		if o.Accel = "tcg"; !o.Virtual {
			o.Accel, _ = r.Probe(ctx)
		}
	default:
		return Options{}, fmt.Errorf("accelerator %q: want auto, kvm or tcg", s.Accel)
	}
	return o, ctx.Err()
}

// powerOn lets the guest run, as run does it, and waits for its agent; one that boots
// has a pace. When it fails, nothing of v is left.
func powerOn(ctx context.Context, v *vm, timeout time.Duration, pace func() float64, run func(context.Context) error) (*guest.Client, time.Duration, error) {
	handshake, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var client *guest.Client
	var failure error
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if failure = v.awaitKernel(handshake); failure != nil {
			return
		}
		client, failure = guest.Connect(handshake, v.control, rand.Text())
	}()
	start := time.Now()
	starting, cancel := context.WithTimeoutCause(ctx, startTime, errSlowStart)
	err := run(starting)
	cancel()
	why := ""
	if err == nil {
		why = awaitAgent(ctx, v, answered, timeout, pace)
	}
	took, phase := time.Since(start), v.phases.last()
	if why != "" && pace != nil {
		v.investigateBoot(ctx, why)
	}
	select {
	case <-answered:
		if failure == nil && err == nil {
			return client, took, nil
		}
		// The stream may have ended because the guest did: QEMU will say so.
		select {
		case <-v.done:
		case <-ctx.Done():
		case <-time.After(quitGrace):
		}
	default:
	}
	giveUp()
	<-answered
	if client != nil {
		client.Close()
	}
	v.stop()
	<-v.done
	v.unplug()
	switch {
	case ctx.Err() != nil:
		return nil, 0, fmt.Errorf("boot: %w", context.Cause(ctx))
	case errors.Is(failure, context.Canceled):
		failure = err // we gave up; what made us?
	}
	a := summarize(v, exitOf(v.end, false, v.killed), failure)
	if why == "" {
		phase = v.phases.last() // what was under way has been heard by now
	}
	if phase < console.Kernel {
		a.mute = v.kernel
	}
	return nil, 0, a.bootFailure(phase, took, why)
}

// awaitKernel returns when the agent's channel may be used. Firmware takes a second
// UART for a keyboard: a hello opened its set-up screen in one boot of 25.
func (v *vm) awaitKernel(ctx context.Context) error {
	if !v.hold {
		return nil
	}
	select {
	case <-v.phases.kernel:
		return nil
	case <-ctx.Done():
		v.control.Close()
		return context.Cause(ctx)
	}
}
