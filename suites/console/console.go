// Package console is the suite that watches a guest's terminals from their far ends:
// that what was written comes out whole and in order whoever else speaks, that every
// writer comes along, and that nothing breaks while terminals are opened, closed,
// revoked, switched, flooded and taken away, all at once.
//
// A case of the smoke layer looks at every byte. The others look for races: they are
// done in rounds, each with a seed of its own, under pressure on the virtual CPUs, and
// say how often they failed. What runs inside the guest is in package guest below this
// one; it counts, and the judging is here, in functions without effects.
package console

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
)

// Options of the suite. Zero fields leave what a case has.
type Options struct {
	Lines  int           // of C01
	Rounds int           // of each case that is done in rounds
	Length time.Duration // of a round
	Grace  time.Duration // for which a call may last when a storm is over
}

// Suite is the console suite.
func Suite() suites.Suite { return New(Options{}) }

// New is the suite with other rounds.
func New(o Options) suites.Suite {
	o.Lines, o.Grace = cmp.Or(o.Lines, numberedLines), cmp.Or(o.Grace, grace)
	s := suites.Suite{
		Name: "console", Summary: "terminals and the console, watched from their far ends",
		Cases: []suites.Case{{
			Name: "c01_lines", Layer: suites.Smoke, Timeout: time.Minute, Run: o.numbered,
			Summary: "10,000 lines come out of the console whole and in order, the kernel's between them whole",
		}, o.debuggerCase()},
	}
	for _, sc := range scenes() {
		sc.rounds, sc.length, sc.grace = cmp.Or(o.Rounds, sc.rounds), cmp.Or(o.Length, sc.length), o.Grace
		s.Cases = append(s.Cases, sc.suite())
	}
	return s
}

const (
	numberedLines  = 10_000
	kernelThreads  = 2
	kernelMessages = 100 // of a thread
	kernelRate     = 50  // a second, of a thread
)

// numbered is C01.
func (o Options) numbered(ctx context.Context, t *suites.T) error {
	b, err := lay(ctx, t, o.Grace)
	if err != nil {
		return err
	}
	b.seed = t.Rand.Uint64()
	l, err := b.listen("console")
	if err != nil {
		return err
	}
	defer l.stop()
	began, starved := time.Now(), t.Guest.Starved()
	s, err := b.storm(ctx, 0,
		guest.Worker{Kind: guest.Lines, Path: consolePath, Count: o.Lines},
		guest.Worker{Kind: guest.Kernel, Threads: kernelThreads, Count: kernelMessages, Rate: kernelRate})
	if err != nil {
		return within(consolePath, err)
	}
	tally(t.Metrics, s.Work)
	if err := judgeProgress(s.Work, t.Guest.Starved()-starved, o.Grace); err != nil {
		return err
	}
	bytes := s.Work[0].Bytes
	kernel := func(said *said) error {
		k, err := readKernel(said.kernel, b.seed)
		if err != nil {
			return err
		}
		return judgeKernel(k, s.Work)
	}
	err = l.until(ctx, func(s *said) bool { return int64(len(s.writers[0])) >= bytes && kernel(s) == nil })
	if err != nil {
		return err
	}
	t.Metrics["line_rate_per_s"] = float64(o.Lines) / time.Since(began).Seconds()
	if err := judgeLines(l.writers[0], b.seed, 0, o.Lines); err != nil {
		return err
	}
	return kernel(&l.said)
}

// scenes are the cases that look for races. Linux prints under a lock for which whoever
// opens the console waits too: with a thousand lines a second nobody gets it.
func scenes() []scene {
	return []scene{
		{
			name: "c02_storm", layer: suites.Stress, requires: []string{"wire"},
			rounds: 20, length: 3 * time.Second, blast: map[string]int{"freebsd": 2000, "linux": 100},
			summary: "console writers beside thousands of kernel lines, while the console's output is diverted and taken back",
			workers: func(b *bed) []guest.Worker { return stormy() },
		},
		{
			name: "c03_ptys", layer: suites.Stress, rounds: 20, length: 3 * time.Second,
			summary: "pseudo-terminals are made, opened, used, revoked and closed by 16 threads at once, with little memory",
			workers: func(b *bed) []guest.Worker { return crowd(true) },
		},
		{
			name: "c03_left", layer: suites.Stress, rounds: 20, length: 3 * time.Second, whole: true,
			summary: "the same without revoking: none is left when its last user has gone, and no memory of it",
			workers: func(b *bed) []guest.Worker { return crowd(false) },
		},
		{
			name: "c04_switch", layer: suites.Stress, rounds: 20, length: 3 * time.Second,
			summary: "terminals are listed while they come and go, and consoles are switched and muted while they are written to",
			workers: switching,
		},
		{
			name: "c05_sessions", layer: suites.Stress, rounds: 20, length: 3 * time.Second, whole: true,
			summary: "sessions lose their leader, their terminal and its other side while they read and drain it",
			workers: func(b *bed) []guest.Worker { return []guest.Worker{{Kind: guest.Sessions, Threads: 8}} },
		},
		{
			name: "c07_far_ends", layer: suites.Stress, requires: []string{"line:uart", "line:virtio"}, rounds: 10, length: 4 * time.Second,
			summary: "lines are flooded, broken, held up and switched at their far ends while the guest uses them",
			workers: ends, host: disturb(false), lines: []string{"uart", "virtio"},
		},
		{
			name: "c07_unplug", layer: suites.Stress, requires: []string{"line:uart", "line:virtio"}, rounds: 10, length: 4 * time.Second,
			summary: "the same, and a line's device is taken away and brought back",
			workers: ends, host: disturb(true), lines: []string{"uart", "virtio"},
		},
		{
			name: "c08_mix", layer: suites.Soak, requires: []string{"wire", "line:uart", "line:virtio"},
			rounds: 300, length: 6 * time.Second, blast: map[string]int{"freebsd": 500, "linux": 50},
			summary: "an hour of the others but unplugging, at once and in another mixture each time",
			workers: mixture, host: disturb(false), lines: []string{"uart", "virtio"},
		},
	}
}

// stormy has writers that bear with errors: Linux sends what they say to the
// pseudo-terminal, too, which may go away under them.
func stormy() []guest.Worker {
	return []guest.Worker{
		{Kind: guest.Lines, Path: consolePath, Threads: 4, Endures: true}, {Kind: guest.Kernel, Threads: 2, Rate: 500}, {Kind: guest.Diverts, Threads: 2},
	}
}

func crowd(revokes bool) []guest.Worker {
	return []guest.Worker{{Kind: guest.Ptys, Threads: 16, Revokes: revokes}, {Kind: guest.Memory, Threads: 2, MiB: 48}}
}

// switching has readers of the kernel's lists and writers of its settings beside a storm.
func switching(b *bed) []guest.Worker {
	w := []guest.Worker{
		{Kind: guest.Lines, Path: consolePath, Threads: 2}, {Kind: guest.Kernel, Rate: 200},
		{Kind: guest.Ptys, Threads: 4}, {Kind: guest.Opens, Path: consolePath, Threads: 2, Endures: true},
	}
	if b.t.Guest.OS() == "freebsd" {
		return append(w, guest.Worker{Kind: guest.Lists, Path: "kern.ttys", Threads: 2}, guest.Worker{Kind: guest.Lists, Path: "kern.console"},
			guest.Worker{Kind: guest.Sets, Path: "kern.console", Values: []string{"ttyu0", "-ttyu0"}, Endures: true},
			guest.Worker{Kind: guest.Sets, Path: "kern.consmute", Values: []string{"0", "1"}})
	}
	return append(w, guest.Worker{Kind: guest.Lists, Path: "/proc/tty/drivers", Threads: 2}, guest.Worker{Kind: guest.Lists, Path: "/proc/consoles"},
		guest.Worker{Kind: guest.Lists, Path: "/proc/tty/driver/serial"},
		guest.Worker{Kind: guest.Sets, Path: "/proc/sys/kernel/printk", Values: []string{"7 4 1 7", "1 4 1 7"}})
}

// ends uses both sides of the lines whose far ends are disturbed.
func ends(b *bed) (w []guest.Worker) {
	for i, line := range []string{"uart", "virtio"} {
		path := b.device(line)
		w = append(w, guest.Worker{Kind: guest.Lines, Path: path, Threads: 2, Writer: 2 * i, Endures: true},
			guest.Worker{Kind: guest.Echo, Path: path, Endures: true}, guest.Worker{Kind: guest.Opens, Path: path, Rate: 20, Endures: true})
	}
	return append(w, guest.Worker{Kind: guest.Kernel, Rate: 50})
}

// mixture draws from what the others do.
func mixture(b *bed) []guest.Worker {
	r := rand.New(rand.NewPCG(b.seed, 8))
	w := ends(b)
	for _, more := range [][]guest.Worker{crowd(false), switching(b)[2:], {{Kind: guest.Sessions, Threads: 4}}, {{Kind: guest.Diverts, Threads: 2}}} {
		if r.IntN(2) == 0 {
			w = append(w, more...)
		}
	}
	return w
}
