package suites

import (
	"fmt"
	"time"
)

// Load is what a host kept from a guest over some time.
type Load struct {
	Starved time.Duration // for which the guest was kept from its CPUs
	Of      time.Duration // the time looked at
}

func (l Load) String() string {
	return fmt.Sprintf("the host kept the guest from its CPUs for %.1f of %.1f s", l.Starved.Seconds(), l.Of.Seconds())
}

// Begin notes when a case begins: whoever runs it calls this before Run.
func (t *T) Begin() { t.began, t.starved = time.Now(), t.Guest.Starved() }

// Load is what the host has kept from the guest since the case began; zero before
// Begin. A case that measures asks, and leaves out what says nothing.
func (t *T) Load() Load {
	if t.began.IsZero() {
		return Load{}
	}
	return Load{t.Guest.Starved() - t.starved, time.Since(t.began)}
}

// starvedShare is the part of a case's time from which on a finding about time is the
// host's: a third. Beside one other guest a machine was measured just below, at a half
// its answers took three times as long. A limit that a busy worker always exceeds
// would hide what kernels do. It rests on few measurements: docs/machines.md has them.
const starvedShare = 3

// Overloaded says that the host kept so much from the guest that what took long
// there says nothing about its kernel.
func (l Load) Overloaded() bool {
	return l.Starved > 0 && l.Starved*starvedShare >= l.Of
}
