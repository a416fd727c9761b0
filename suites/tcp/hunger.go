package tcp

import (
	"slices"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites/wire/judge"
)

// tasteEvery is how often a bed looks how long its guest has starved.
const tasteEvery = 100 * time.Millisecond

// hunger knows when the host kept the guest from its CPUs, on the cable's clock. A case
// that mostly waits starves little of its time, and late at each moment that counts: so
// a finding about a gap is weighed by what the guest starved in it. It is safe for
// concurrent use.
type hunger struct {
	mu   sync.Mutex
	past []taste // oldest first
}

// taste is how long the guest had starved at a time.
type taste struct{ at, starved time.Duration }

func (h *hunger) note(at, starved time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past = append(h.past, taste{at, starved})
}

// between is how long the guest starved from since to at, as far as the tastes around
// them can tell, and at most.
func (h *hunger) between(since, at time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.past) == 0 {
		return 0
	}
	first, _ := slices.BinarySearchFunc(h.past, since, func(t taste, d time.Duration) int { return int(t.at - d) })
	last, _ := slices.BinarySearchFunc(h.past, at, func(t taste, d time.Duration) int { return int(t.at - d) })
	return h.past[min(last, len(h.past)-1)].starved - h.past[max(0, first-1)].starved
}

// taste looks until the bed is closed.
func (b *Bed) taste() {
	ticker := time.NewTicker(tasteEvery)
	defer ticker.Stop()
	for {
		b.hunger.note(b.Cable.Now(), b.T.Guest.Starved())
		select {
		case <-ticker.C:
		case <-b.ctx.Done():
			return
		}
	}
}

// excused parts the findings that the host can have caused, by as much as it held the
// guest up meanwhile, from the others.
func (h *hunger) excused(all []judge.Finding) (guests, hosts []judge.Finding) {
	for _, f := range all {
		if f.Held > 0 && h.between(f.Since, f.At) >= f.Held {
			hosts = append(hosts, f)
		} else {
			guests = append(guests, f)
		}
	}
	return guests, hosts
}

// heldUp is what the host did, as the first of the findings that it caused; nil: none.
func heldUp(h *hunger, hosts []judge.Finding) error {
	if len(hosts) == 0 {
		return nil
	}
	f := &hosts[0]
	return slowf("the host kept the guest from its CPUs for %.0f ms of the %.1f s in question: %s",
		float64(h.between(f.Since, f.At).Microseconds())/1000, (f.At - f.Since).Seconds(), f.String())
}
