package smoke

import (
	"fmt"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/smoke/guest"
)

// The clock's tolerances are wide: a guest that is emulated on a busy host may
// not run for seconds, and no verdict may come from that. What they leave is a
// clock that stands still, runs at another rate or jumps.
const (
	guestSleep   = 200 * time.Millisecond
	hostPause    = time.Second
	clockFactor  = 1.5                    // slower or faster than the host by less is fine
	clockSlack   = 100 * time.Millisecond // and this on top, for coarse clocks
	clockApart   = 10                     // percent by which the two clocks may differ
	wallBackward = time.Millisecond       // a wall clock may be stepped this far by its own fine adjustment
)

// clockSample is two readings of the guest's clocks. Between the end of the
// first and the start of the second at least least passed on the host, and from
// the start of the first to the end of the second at most most.
type clockSample struct {
	first, second guest.ClockReadings
	least, most   time.Duration
}

func judgeClock(s clockSample) error {
	for _, r := range []guest.ClockReadings{s.first, s.second} {
		slept := time.Duration(r.After.Monotonic - r.Before.Monotonic)
		switch {
		case r.MonotonicBack > 0:
			return suites.Failf("the monotonic clock went back by %v", time.Duration(r.MonotonicBack))
		case time.Duration(r.WallBack) > wallBackward:
			return suites.Failf("the wall clock went back by %v", time.Duration(r.WallBack))
		case slept < guestSleep:
			return suites.Failf("a sleep of %v took %v by the monotonic clock", guestSleep, slept)
		}
	}
	first, last := s.first.Before, s.second.After
	mono := time.Duration(last.Monotonic - first.Monotonic)
	wall := time.Duration(last.Wall - first.Wall)
	low := time.Duration(float64(s.least)/clockFactor) - clockSlack
	high := time.Duration(float64(s.most)*clockFactor) + clockSlack
	for _, c := range []struct {
		name    string
		elapsed time.Duration
	}{{"monotonic", mono}, {"wall", wall}} {
		if c.elapsed < low {
			return suites.Failf("the %s clock is slow: it advanced by %v while at least %v passed on the host", c.name, c.elapsed, s.least)
		}
		if c.elapsed > high {
			return suites.Failf("the %s clock is fast: it advanced by %v while at most %v passed on the host", c.name, c.elapsed, s.most)
		}
	}
	if apart := (mono - wall).Abs(); apart > mono*clockApart/100+clockSlack {
		return suites.Failf("the clocks disagree: monotonic advanced by %v, wall by %v", mono, wall)
	}
	return nil
}

// The bounds of a long sleep. Its guest has nothing else to do, and its time is no
// host's.
const (
	longGuestSleep = time.Hour
	longLate       = time.Second // a wake-up may be late by this
	longApart      = time.Second // the clocks may be apart by this, which is 280 parts in a million
)

func judgeLongSleep(r guest.ClockReadings) error {
	mono, wall := time.Duration(r.After.Monotonic-r.Before.Monotonic), time.Duration(r.After.Wall-r.Before.Wall)
	switch {
	case r.MonotonicBack > 0:
		return suites.Failf("the monotonic clock went back by %v", time.Duration(r.MonotonicBack))
	case mono < longGuestSleep:
		return suites.Failf("a sleep of %v took %v by the monotonic clock", longGuestSleep, mono)
	case mono > longGuestSleep+longLate:
		return suites.Failf("a sleep of %v took %v by the monotonic clock: it ended late", longGuestSleep, mono)
	case (mono - wall).Abs() > longApart:
		return suites.Failf("the clocks disagree: monotonic advanced by %v, wall by %v", mono, wall)
	}
	return nil
}

// judgeCPUs expects n CPUs, numbered from 0 as both kernels do.
func judgeCPUs(n int, saw guest.CPUs) error {
	for cpu := range n {
		if !slices.Contains(saw.Online, cpu) {
			return suites.Failf("CPU %d of %d is not online", cpu, n)
		}
	}
	if len(saw.Online) != n {
		return suites.Failf("%d CPUs are online, the machine has %d", len(saw.Online), n)
	}
	if len(saw.Tried) != n {
		return fmt.Errorf("agent tried %d CPUs of %d", len(saw.Tried), n)
	}
	for cpu, run := range saw.Tried {
		switch {
		case run.CPU != cpu:
			return fmt.Errorf("agent tried CPU %d when CPU %d was due", run.CPU, cpu)
		case run.Refused != "":
			return suites.Failf("CPU %d of %d: a thread cannot be bound to it: %s", cpu, n, run.Refused)
		case len(run.Saw) == 0:
			return fmt.Errorf("agent saw nothing of CPU %d", cpu)
		}
		for _, at := range run.Saw {
			if at != cpu && at != -1 {
				return suites.Failf("CPU %d of %d: a thread bound to it ran on CPU %d", cpu, n, at)
			}
		}
	}
	return nil
}

func judgeMemory(args guest.MemoryArgs, saw guest.Memory) error {
	words := args.MiB << 20 / 8
	for _, m := range []struct {
		kind string
		read guest.MemoryRead
	}{{"private", saw.Private}, {"shared", saw.Shared}} {
		r := m.read
		if r.Wrong > 0 {
			return suites.Failf("%s memory lost %d of %d words, the first at byte %d: %#016x instead of %#016x",
				m.kind, r.Wrong, words, r.FirstOffset, r.FirstGot, r.FirstWant)
		}
		if r.Words != words {
			return fmt.Errorf("agent read %d of %d words of %s memory", r.Words, words, m.kind)
		}
	}
	return nil
}

func judgeFilesystem(args guest.FilesystemArgs, saw guest.Filesystem) error {
	data := guest.Pattern(args.Seed, args.Bytes)
	both := []string{guest.NameLink, guest.NameMoved}
	switch {
	case saw.Size != int64(args.Bytes):
		return suites.Failf("a file of %d bytes has size %d after fsync", args.Bytes, saw.Size)
	case saw.OldName == "":
		return suites.Failf("the old name still opens after a rename")
	case saw.OldName != "ENOENT":
		return suites.Failf("the old name after a rename: %s instead of ENOENT", saw.OldName)
	case saw.Digest != guest.Digest(data):
		return suites.Failf("a file of %d bytes reads back with other contents", args.Bytes)
	case !slices.Equal(saw.Names, both):
		return suites.Failf("the folder lists %q after a rename and a hard link instead of %q", saw.Names, both)
	case !saw.SameFile:
		return suites.Failf("a hard link is another file")
	case saw.Links != 2:
		return suites.Failf("link count is %d with two names", saw.Links)
	case saw.CutSize != int64(args.Truncate):
		return suites.Failf("a file cut to %d bytes has size %d by its other name", args.Truncate, saw.CutSize)
	case saw.CutDigest != guest.Digest(data[:args.Truncate]):
		return suites.Failf("a file cut to %d bytes reads back with other contents", args.Truncate)
	case !slices.Equal(saw.NamesUnlinked, both[:1]):
		return suites.Failf("the folder lists %q after an unlink instead of %q", saw.NamesUnlinked, both[:1])
	case saw.LinksUnlinked != 1:
		return suites.Failf("link count is %d with one name", saw.LinksUnlinked)
	case len(saw.NamesAfter) != 0:
		return suites.Failf("the folder lists %q after the last unlink", saw.NamesAfter)
	}
	return nil
}

func judgeLoopback(family string, args guest.LoopbackArgs, saw guest.Loopback) error {
	n := len(args.Up)
	if len(saw.Connections) != n {
		return fmt.Errorf("%s: agent reports %d of %d connections", family, len(saw.Connections), n)
	}
	for i, c := range saw.Connections {
		where := fmt.Sprintf("%s connection %d of %d", family, i+1, n)
		if c.ClientPort == 0 && c.Down.Stalled {
			return suites.Failf("%s: connect: no answer within %v s", where, args.StallS)
		}
		if c.ClientPort <= 0 || c.ClientPort == saw.ServerPort {
			return suites.Failf("%s: got local port %d, the server's is %d", where, c.ClientPort, saw.ServerPort)
		}
		seed := args.Seed + 2*uint64(i)
		if err := judgeStream(where+": server", args.StallS, guest.Pattern(seed, args.Up[i]), c.Up); err != nil {
			return err
		}
		if err := judgeStream(where+": client", args.StallS, guest.Pattern(seed+1, args.Down[i]), c.Down); err != nil {
			return err
		}
	}
	return nil
}

// judgeStream compares what one end received with what the other sent.
func judgeStream(where string, stall float64, sent []byte, got guest.Received) error {
	switch {
	case got.Stalled:
		return suites.Failf("%s: nothing arrived for %v s after %d of %d bytes", where, stall, got.Bytes, len(sent))
	case got.Bytes != len(sent):
		return suites.Failf("%s: received %d of %d bytes", where, got.Bytes, len(sent))
	case got.Digest != guest.Digest(sent):
		return suites.Failf("%s: received %d bytes with other contents", where, got.Bytes)
	case !got.Ended:
		return suites.Failf("%s: the stream was not closed in order", where)
	}
	return nil
}
