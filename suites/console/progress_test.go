package console

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
)

func TestJudgeProgress(t *testing.T) {
	well := guest.Work{Kind: guest.Ptys, Ops: 10, SlowestS: 2}
	for name, tt := range map[string]struct {
		work    guest.Work
		starved time.Duration
		status  suites.Status
		says    string
	}{
		"all is well":      {guest.Work{Kind: guest.Lines, Ops: 1}, 0, suites.Passed, ""},
		"never woken":      {guest.Work{Kind: guest.Lines, Path: "/dev/console", Ops: 5, Stuck: "write", InS: 21}, time.Second, suites.Failed, "worker lines /dev/console: still in write 21 s"},
		"the host's fault": {guest.Work{Kind: guest.Lines, Ops: 5, Stuck: "write", InS: 21}, 15 * time.Second, suites.Broken, "of which the host kept the guest from its CPUs for 15 s"},
		"slow":             {guest.Work{Kind: guest.Lines, Ops: 5, Slowest: "write", SlowestS: 31}, 0, suites.Failed, "a write took 31 s"},
		"slow host":        {guest.Work{Kind: guest.Lines, Ops: 5, Slowest: "write", SlowestS: 31}, 2 * time.Second, suites.Passed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, judgeProgress([]guest.Work{well, tt.work}, tt.starved, grace), tt.status, tt.says)
		})
	}
}

func TestJudgeOpen(t *testing.T) {
	before := guest.Open{FDs: 9, Ptys: 1, Terminals: 4}
	for name, tt := range map[string]struct {
		after guest.Open
		says  string
	}{
		"the same":       {before, ""},
		"fewer":          {guest.Open{FDs: 8}, ""},
		"a descriptor":   {guest.Open{FDs: 10, Ptys: 1, Terminals: 4}, "10 file descriptors of the agent are open after the storm, 9 were before it"},
		"a pty":          {guest.Open{FDs: 9, Ptys: 2, Terminals: 4}, "2 pseudo-terminals are there after the storm, 1 were before it, and nobody has one open"},
		"another's left": {guest.Open{FDs: 9, Ptys: 1, Terminals: 5, Left: []string{"flags 0x48"}}, `5 terminals are there after the storm, 4 were before it ["flags 0x48"]`},
	} {
		t.Run(name, func(t *testing.T) {
			want := suites.Failed
			if tt.says == "" {
				want = suites.Passed
			}
			check(t, judgeOpen(before, tt.after, true), want, tt.says)
		})
	}
}

func TestJudgeOpenLeavesTerminalsOut(t *testing.T) {
	if err := judgeOpen(guest.Open{FDs: 9}, guest.Open{FDs: 9, Ptys: 2, Terminals: 4}, false); err != nil {
		t.Error(err)
	}
}

func TestVerdict(t *testing.T) {
	found, rig := suites.Failf("round 2, seed 9: lost"), errors.New("the far end: gone")
	for name, tt := range map[string]struct {
		o      outcome
		status suites.Status
		says   string
	}{
		"all is well": {outcome{rate: rate{0, 20}}, suites.Passed, ""},
		"failed":      {outcome{rate: rate{1, 20}, first: found}, suites.Failed, "round 2, seed 9: lost; 1 of 20 rounds failed (0.00 to 0.25)"},
		"broken":      {outcome{rate: rate{0, 3}, fault: rig}, suites.Broken, "the far end: gone"},
		"both":        {outcome{rate: rate{1, 3}, first: found, fault: rig}, suites.Failed, "lost; given up after 3 rounds: the far end: gone; 1 of 3"},
	} {
		t.Run(name, func(t *testing.T) { check(t, tt.o.verdict(), tt.status, tt.says) })
	}
}

func TestIdle(t *testing.T) {
	workers := []guest.Worker{{Kind: guest.Ptys}, {Kind: guest.Memory}}
	did := map[string]float64{}
	tally(did, []guest.Work{{Kind: guest.Ptys, Ops: 3, SlowestS: 2}, {Kind: guest.Ptys, Ops: 4, Bytes: 9, SlowestS: 1}})
	if did["ptys_ops"] != 7 || did["ptys_bytes"] != 9 || did["ptys_slowest_s"] != 2 {
		t.Errorf("%v", did)
	}
	if got := idle(workers, did); got != guest.Memory {
		t.Errorf("%q is idle", got)
	}
	if got := idle(workers[:1], did); got != "" {
		t.Errorf("%q is idle", got)
	}
}

func TestJudgeMemory(t *testing.T) {
	grow := func(by ...int64) (s []map[string]int64) {
		for _, n := range by {
			s = append(s, map[string]int64{"tty": 100 + n, "UNIX sockets": 50 * n})
		}
		return s
	}
	for name, tt := range map[string]struct {
		samples []map[string]int64
		says    string
	}{
		"none":           {nil, ""},
		"steady":         {grow(0, 3, 1, 0, 2, 1), ""},
		"a cache fills":  {grow(0, 40, 60, 60, 61, 60), ""},
		"a step at last": {grow(0, 0, 0, 0, 0, 40), ""},
		"a leak":         {grow(0, 10, 20, 30, 40, 50), "tty: 50 allocations more in use after 5 rounds, 20 of them in the second half"},
		"another's":      {[]map[string]int64{{"x": 0}, {"x": 100}, {"x": 200}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := suites.Failed
			if tt.says == "" {
				want = suites.Passed
			}
			check(t, judgeMemory(tt.samples), want, tt.says)
		})
	}
}

// The limits are those of Clopper and Pearson, as published tables have them.
func TestInterval(t *testing.T) {
	for _, tt := range []struct {
		r         rate
		low, high float64
	}{
		{rate{0, 0}, 0, 1},
		{rate{0, 20}, 0, 0.1684335},
		{rate{1, 20}, 0.001265, 0.2487328},
		{rate{5, 20}, 0.0865714, 0.4910459},
		{rate{20, 20}, 0.8315665, 1},
		{rate{1, 1}, 0.025, 1},
		{rate{5, 100}, 0.0164319, 0.1128349},
	} {
		low, high := tt.r.interval()
		if math.Abs(low-tt.low) > 1e-5 || math.Abs(high-tt.high) > 1e-5 {
			t.Errorf("%+v: %.7f to %.7f, want %.7f to %.7f", tt.r, low, high, tt.low, tt.high)
		}
	}
	if got := (rate{1, 20}).String(); got != "1 of 20 rounds failed (0.00 to 0.25)" {
		t.Error(got)
	}
}
