package qemu

import (
	"log/slog"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

func TestStalls(t *testing.T) {
	lockup := runners.Crash{Title: "BUG: soft lockup", Signature: "a", Stall: true, Fatal: true}
	other := runners.Crash{Title: "INFO: rcu detected stalls", Signature: "b", Stall: true}
	oops := runners.Crash{Title: "Oops", Signature: "c", Fatal: true}
	for name, c := range map[string]struct {
		percent int // of its time for which QEMU starves, from second 100 on
		until   int // second of the report
		hosts   int
	}{
		"idle host":               {0, 160, 0},
		"busy host":               {40, 160, 0},
		"starving":                {60, 160, 2},
		"starving for a moment":   {100, 110, 0},
		"starving for long":       {100, 120, 2},
		"nothing was sampled yet": {100, 0, 0},
	} {
		s := stalls{log: slog.New(slog.DiscardHandler)}
		var starved time.Duration
		for sec := range c.until {
			if sec > 100 {
				starved += time.Duration(c.percent) * time.Second / 100
			}
			s.note(time.Unix(int64(sec), 0), starved)
		}
		kernels, hosts := s.split([]runners.Crash{lockup, oops, other})
		if len(hosts) != c.hosts || len(kernels) != 3-c.hosts {
			t.Errorf("%s: %d of the kernel, %d of the host, want %d", name, len(kernels), len(hosts), c.hosts)
		}
		if len(s.past) > int(stallWindow/time.Second)+1 {
			t.Errorf("%s: %d samples are kept", name, len(s.past))
		}
	}
}

// A verdict stays: what came later says nothing about it.
func TestStallIsJudgedOnce(t *testing.T) {
	s := stalls{log: slog.New(slog.DiscardHandler)}
	stall := []runners.Crash{{Signature: "a", Stall: true}}
	if _, hosts := s.split(stall); len(hosts) != 0 {
		t.Error("the host of a machine that was not watched is at fault")
	}
	s.note(time.Unix(0, 0), 0)
	s.note(time.Unix(20, 0), 20*time.Second)
	s.note(time.Unix(21, 0), 0) // a thread has ended
	if _, hosts := s.split(stall); len(hosts) != 0 {
		t.Error("judged again")
	}
	if _, hosts := s.split([]runners.Crash{{Signature: "b", Stall: true}}); len(hosts) != 1 {
		t.Error("a new stall is not judged by the samples")
	}
}

// What a machine has starved never falls, also when its thread or QEMU has gone.
func TestHungerNeverFalls(t *testing.T) {
	var h hunger
	for _, c := range [][2]time.Duration{{0, 0}, {3, 3}, {2, 3}, {5, 5}, {0, 5}} {
		if got := h.note(c[0]); got != c[1] {
			t.Errorf("noted %d: %d, want %d", c[0], got, c[1])
		}
	}
}
