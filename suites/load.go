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
