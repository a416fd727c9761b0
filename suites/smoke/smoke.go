// Package smoke is the suite that every image passes first: does the kernel keep
// time, run all its processors, keep what is written to memory and to files,
// carry TCP over its loopback, stay silent on the console and power off.
//
// The cases are host code. What runs inside the guest is in package guest below
// this one; it reports what it saw, and the judging is here, in functions
// without effects.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/smoke/guest"
)

const (
	caseTimeout     = 30 * time.Second
	loopbackTimeout = 60 * time.Second
	longTimeout     = 10 * time.Minute

	memoryMiB     = 32
	fileBytes     = 1 << 20 // and up to fileSpread more
	fileSpread    = 64 << 10
	connections   = 8
	streamBytes   = 256 << 10 // and up to streamSpread more or less
	streamSpread  = 32 << 10
	loopbackStall = 15 * time.Second
)

// Suite is the smoke suite. One case ends its guest.
func Suite() suites.Suite {
	return suites.Suite{
		Name:    "smoke",
		Summary: "the kernel boots, computes, keeps time and data, and powers off",
		Cases: []suites.Case{
			smoke("clock", "both clocks advance, never go back, and keep the host's pace", caseTimeout, clock),
			smoke("cpus", "every CPU of the machine is online and runs threads", caseTimeout, cpus),
			smoke("memory", "memory returns what was written, through any mapping", caseTimeout, memory),
			smoke("filesystem", "a file survives its life: write, rename, link, truncate, unlink", caseTimeout, filesystem),
			smoke("loopback_tcp", "concurrent TCP connections over the loopback carry every byte", loopbackTimeout, loopback),
			smoke("console", "no crash was reported on the console", caseTimeout, console),
			smoke("poweroff", "the guest powers off by itself, cleanly", caseTimeout, powerOff),
			{Name: "long_sleep", Layer: suites.Soak, Requires: []string{"virtual-time"}, Timeout: longTimeout, Run: longSleep,
				Summary: "a sleep of an hour takes an hour by both clocks"},
		},
	}
}

func smoke(name, summary string, timeout time.Duration, run func(context.Context, *suites.T) error) suites.Case {
	return suites.Case{Name: name, Layer: suites.Smoke, Summary: summary, Timeout: timeout, Run: run}
}

// clock reads the guest's clocks twice, a while apart by the host's clock.
func clock(ctx context.Context, t *suites.T) error {
	var s clockSample
	args := guest.ClockArgs{SleepS: guestSleep.Seconds()}
	began := time.Now()
	if err := t.Guest.Call(ctx, guest.OpClock, args, &s.first); err != nil {
		return err
	}
	between := time.Now()
	pause := time.NewTimer(hostPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.least = time.Since(between)
	if err := t.Guest.Call(ctx, guest.OpClock, args, &s.second); err != nil {
		return err
	}
	s.most = time.Since(began)
	return judgeClock(s)
}

// longSleep is for guests whose time runs ahead while they sleep.
func longSleep(ctx context.Context, t *suites.T) error {
	var r guest.ClockReadings
	began := time.Now()
	if err := t.Guest.Call(ctx, guest.OpClock, guest.ClockArgs{SleepS: longGuestSleep.Seconds()}, &r); err != nil {
		return err
	}
	t.Metrics["guest_speed_s_per_s"] = time.Duration(r.After.Monotonic-r.Before.Monotonic).Seconds() / time.Since(began).Seconds()
	return judgeLongSleep(r)
}

func cpus(ctx context.Context, t *suites.T) error {
	var saw guest.CPUs
	n := t.Guest.CPUs()
	if err := t.Guest.Call(ctx, guest.OpCPUs, guest.CPUArgs{Count: n}, &saw); err != nil {
		return err
	}
	return judgeCPUs(n, saw)
}

func memory(ctx context.Context, t *suites.T) error {
	var saw guest.Memory
	args := guest.MemoryArgs{MiB: memoryMiB, Seed: t.Rand.Uint64()}
	if err := t.Guest.Call(ctx, guest.OpMemory, args, &saw); err != nil {
		return err
	}
	return judgeMemory(args, saw)
}

func filesystem(ctx context.Context, t *suites.T) error {
	var saw guest.Filesystem
	args := guest.FilesystemArgs{Seed: t.Rand.Uint64(), Bytes: fileBytes + t.Rand.IntN(fileSpread)}
	args.Truncate = 1 + t.Rand.IntN(args.Bytes-1)
	if err := t.Guest.Call(ctx, guest.OpFilesystem, args, &saw); err != nil {
		return err
	}
	return judgeFilesystem(args, saw)
}

func loopback(ctx context.Context, t *suites.T) error {
	for _, family := range []struct{ name, network string }{{"IPv4", "tcp4"}, {"IPv6", "tcp6"}} {
		args := guest.LoopbackArgs{Family: family.network, Seed: t.Rand.Uint64(), StallS: loopbackStall.Seconds()}
		for range connections {
			args.Up = append(args.Up, streamBytes+t.Rand.IntN(2*streamSpread)-streamSpread)
			args.Down = append(args.Down, streamBytes+t.Rand.IntN(2*streamSpread)-streamSpread)
		}
		var saw guest.Loopback
		if err := t.Guest.Call(ctx, guest.OpLoopback, args, &saw); err != nil {
			return within(family.name, err)
		}
		if err := judgeLoopback(family.name, args, saw); err != nil {
			return err
		}
	}
	return nil
}

// within says where the kernel refused; other errors stay the rig's.
func within(where string, err error) error {
	var refused interface{ KernelRefused() string }
	if errors.As(err, &refused) {
		return suites.Failf("%s %s", where, refused.KernelRefused())
	}
	return fmt.Errorf("%s: %w", where, err)
}

func console(_ context.Context, t *suites.T) error {
	crashes := t.Guest.Crashes()
	switch len(crashes) {
	case 0:
		return nil
	case 1:
		return suites.Failf("crash on the console: %s", crashes[0])
	}
	return suites.Failf("%d crashes on the console, the first: %s", len(crashes), crashes[0])
}

func powerOff(ctx context.Context, t *suites.T) error { return t.Guest.PowerOff(ctx) }
