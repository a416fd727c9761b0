package qemu

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headwatch/headwatch/runners"
)

const (
	// stallWindow is how far back a stall's cause is looked for: Linux reports one
	// after about 20 s.
	stallWindow = 30 * time.Second
	// starvedShare is the part of stallWindow for which the host must have kept
	// QEMU from its CPUs to be at fault. A kernel that had the other half is slow,
	// but not silent for 20 s.
	starvedShare = 2
	sampleEvery  = time.Second
)

// stalls tells the stalls that a kernel made from those that its host made by
// letting QEMU starve. It is judged once per signature, when the report is first
// seen, and a second late at most. It is safe for concurrent use.
type stalls struct {
	log    *slog.Logger
	mu     sync.Mutex
	past   []sample // one per second, oldest first
	hosts  map[string]bool
	warned bool
}

// sample is how long QEMU had starved at a time.
type sample struct {
	at      time.Time
	starved time.Duration
}

// note takes a sample. What has starved shrinks when a thread of QEMU ends.
func (s *stalls) note(now time.Time, starved time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.past); n > 0 {
		starved = max(starved, s.past[n-1].starved)
	}
	s.past = append(s.past, sample{now, starved})
	for now.Sub(s.past[0].at) > stallWindow {
		s.past = s.past[1:]
	}
}

// hunger is how long a machine has starved, at most of what it was told: the host's
// own count shrinks when a thread ends, and is gone with its process. It is safe
// for concurrent use.
type hunger struct{ most atomic.Int64 }

func (h *hunger) note(starved time.Duration) time.Duration {
	for {
		most := h.most.Load()
		if int64(starved) <= most {
			return time.Duration(most)
		}
		if h.most.CompareAndSwap(most, int64(starved)) {
			return starved
		}
	}
}

// starved is how much of the last stallWindow the samples saw QEMU starve.
func (s *stalls) starved() time.Duration {
	if len(s.past) == 0 {
		return 0
	}
	return s.past[len(s.past)-1].starved - s.past[0].starved
}

// split parts the kernel's crashes from the stalls that the host made.
func (s *stalls) split(crashes []runners.Crash) (kernels, hosts []runners.Crash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range crashes {
		if c.Stall && s.host(c) {
			hosts = append(hosts, c)
		} else {
			kernels = append(kernels, c)
		}
	}
	return kernels, hosts
}

func (s *stalls) host(c runners.Crash) bool {
	guilty, judged := s.hosts[c.Signature]
	if judged {
		return guilty
	}
	starved := s.starved()
	guilty = starved >= stallWindow/starvedShare
	if s.hosts == nil {
		s.hosts = make(map[string]bool)
	}
	s.hosts[c.Signature] = guilty
	if guilty && !s.warned {
		s.warned = true
		s.log.Warn("a stall is the host's, not the kernel's: QEMU had no CPU", "stall", c.Title, "starved", starved, "of", stallWindow)
	}
	return guilty
}
