package qemu

import (
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/runners/console"
)

// patience is for how long each phase of a boot may say nothing new and end in no other
// one, on a machine of pace 1. Nothing that FreeBSD or Linux do at boot was seen to be
// silent for more than a tenth of it.
var patience = map[console.Phase]time.Duration{
	console.NoOutput:     60 * time.Second,
	console.Unrecognized: 60 * time.Second,
	console.Firmware:     60 * time.Second, // it looks for devices
	console.Loader:       60 * time.Second, // it reads the kernel, and unpacks it
	console.Kernel:       60 * time.Second,
	console.MountRoot:    60 * time.Second,  // slow buses are waited for
	console.Init:         180 * time.Second, // rc(8) makes keys and file systems
	console.Agent:        60 * time.Second,  // modules are loaded, and a port looked for
	console.Login:        60 * time.Second,
	console.Prompt:       5 * time.Second, // nobody will answer it
	console.Debugger:     10 * time.Second,
}

// limitIn is patience with a phase at a pace.
func limitIn(p console.Phase, pace float64) time.Duration {
	return time.Duration(float64(patience[p]) * pace)
}

// progress watches a boot: it moves while it says something new or comes to another
// phase.
type progress struct {
	phase console.Phase
	news  int64
	moved time.Time
	pulse pulse
}

// stuck is for how long the boot has not moved, without the time for which the host kept
// QEMU from its CPUs.
func (p *progress) stuck(phase console.Phase, news int64, now time.Time, starved time.Duration) time.Duration {
	if phase != p.phase || news != p.news || p.moved.IsZero() {
		p.phase, p.news, p.moved = phase, news, now
	}
	return p.pulse.quiet(p.moved, now, starved)
}

const (
	// lookEvery is how often a boot is looked at.
	lookEvery = 500 * time.Millisecond
	// restless is a silence that few boots have: the pace is not measured before.
	restless = 3 * time.Second
)

// awaitAgent returns when the handshake is over, or v, or ctx; it says why when it gave
// up first: nothing new was said for as long as pace allows, or all of timeout is over. Without
// a pace only the timeout counts. Time for which the host let QEMU starve does not count.
func awaitAgent(ctx context.Context, v *vm, answered <-chan struct{}, timeout time.Duration, pace func() float64) (why string) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	v.phases.follow(pace != nil)
	defer v.phases.follow(false)
	start := time.Now()
	var p progress
	for {
		select {
		case <-answered:
			return ""
		case <-v.done:
			return ""
		case <-ctx.Done():
			return ""
		case now := <-tick.C:
			starved, ran := v.proc.starved(), now.Sub(start)
			if ran-starved >= timeout || ran >= maxStarved*timeout {
				return fmt.Sprintf("no answer from the agent within %v", ran.Round(100*time.Millisecond))
			}
			phase, news := v.phases.progress()
			stuck := p.stuck(phase, news, now, starved)
			if pace != nil && stuck > restless && stuck > limitIn(phase, pace()) {
				return fmt.Sprintf("nothing new for %v", stuck.Round(time.Second))
			}
		}
	}
}

// investigateBoot asks a guest that does not come up where it is, as far as it can be
// asked in its phase.
func (v *vm) investigateBoot(ctx context.Context, why string) {
	phase := v.phases.last()
	if phase == console.Prompt {
		return // it waits for an answer, and its title says so
	}
	how := byRegisters
	switch {
	case phase == console.Debugger:
		how = byDebugger
	case phase >= console.Kernel:
		how = byInterrupt
	}
	v.investigate(ctx, phase.Title()+"; "+why, how)
}
