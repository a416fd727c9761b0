package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
)

const (
	// grace is how long a call may last when the storm is over and nothing disturbs it
	// any more. What wakes a writer takes milliseconds; a guest that is emulated, beside
	// others and under pressure, some seconds.
	grace = 20 * time.Second
	// slowest is how long a call may last that does return.
	slowest = 30 * time.Second
)

// judgeProgress wants every worker to have come back from each call, and soon. The time
// for which the host kept the guest from its CPUs does not count.
func judgeProgress(work []guest.Work, starved, grace time.Duration) error {
	for _, w := range work {
		name := strings.TrimSpace(w.Kind + " " + w.Path)
		in := time.Duration(w.InS * float64(time.Second))
		took := time.Duration(w.SlowestS * float64(time.Second))
		switch {
		case w.Stuck != "" && in-starved > grace/2:
			return suites.Failf("worker %s: still in %s %.0f s after it began, with nothing else under way", name, w.Stuck, w.InS)
		case w.Stuck != "":
			return fmt.Errorf("worker %s: in %s for %.0f s when it was awaited no longer, of which the host kept the guest from its CPUs for %.0f s",
				name, w.Stuck, w.InS, starved.Seconds())
		case took-starved > slowest:
			return suites.Failf("worker %s: a %s took %.0f s", name, w.Slowest, w.SlowestS)
		}
	}
	return nil
}

// judgeOpen wants everything closed again that a storm opened: the agent's descriptors,
// and with whole the terminals that they led to.
func judgeOpen(before, after guest.Open, whole bool) error {
	if after.FDs > before.FDs {
		return suites.Failf("%d file descriptors of the agent are open after the storm, %d were before it", after.FDs, before.FDs)
	}
	switch {
	case !whole:
	case after.Ptys > before.Ptys:
		return suites.Failf("%d pseudo-terminals are there after the storm, %d were before it, and nobody has one open %q",
			after.Ptys, before.Ptys, after.Left)
	case after.Terminals > before.Terminals:
		return suites.Failf("%d terminals are there after the storm, %d were before it %q", after.Terminals, before.Terminals, after.Left)
	}
	return nil
}

// least is how many allocations more a storm must leave behind, to be a leak: caches of
// CPUs vary by a few.
const least = 16

// terminalMemory are the names under which FreeBSD allocates for terminals: of malloc
// types and zones (sys/kern/tty*.c, kern_conf.c, kern_event.c, kern_proc.c, sys/fs/devfs).
var terminalMemory = []string{
	"tty", "pts", "ttyinq", "ttyoutq", "cdev", "DEVFS1", "DEVFS3", "DEVFSP", "kqueue", "KNOTE", "session", "PGRP",
}

// judgeMemory wants no growth from round to round. samples are of what was in use after
// each round, the first one after a round that filled caches.
func judgeMemory(samples []map[string]int64) error {
	if len(samples) < 3 {
		return nil
	}
	first, middle, last := samples[0], samples[len(samples)/2], samples[len(samples)-1]
	for _, name := range terminalMemory {
		half, rest := middle[name]-first[name], last[name]-middle[name]
		if half >= least/2 && rest >= least/2 {
			return suites.Failf("%s: %d allocations more in use after %d rounds, %d of them in the second half", name, half+rest, len(samples)-1, rest)
		}
	}
	return nil
}

// tally sums what threads of each kind did.
func tally(into map[string]float64, work []guest.Work) {
	for _, w := range work {
		into[w.Kind+"_ops"] += float64(w.Ops)
		if w.Bytes > 0 {
			into[w.Kind+"_bytes"] += float64(w.Bytes)
		}
		if w.SlowestS > into[w.Kind+"_slowest_s"] {
			into[w.Kind+"_slowest_s"] = w.SlowestS
		}
	}
}

// idle names the kinds of workers that have done nothing in all rounds; empty: none. One
// round can be too short for a worker that waits its turn.
func idle(workers []guest.Worker, metrics map[string]float64) string {
	for _, w := range workers {
		if metrics[w.Kind+"_ops"] == 0 {
			return w.Kind
		}
	}
	return ""
}

// stuck says whether a thread did not come back: the machine is of no more use.
func stuck(work []guest.Work) bool {
	return slices.ContainsFunc(work, func(w guest.Work) bool { return w.Stuck != "" })
}
