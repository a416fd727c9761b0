//go:build linux || freebsd

package guest

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// clockReadings is how often the clocks are read on each side of the sleep, as
// fast as they can be: a clock that differs between CPUs shows there.
const clockReadings = 2000

// clock reads both clocks by system call, since that is the kernel's own answer,
// and sleeps by the kernel's timers.
func clock(ctx context.Context, args ClockArgs) (ClockReadings, error) {
	var r ClockReadings
	last, err := readClocks()
	if err != nil {
		return r, err
	}
	r.Before = last
	read := func() error {
		for range clockReadings {
			now, err := readClocks()
			if err != nil {
				return err
			}
			r.MonotonicBack = max(r.MonotonicBack, last.Monotonic-now.Monotonic)
			r.WallBack = max(r.WallBack, last.Wall-now.Wall)
			last = now
			r.Readings++
		}
		return nil
	}
	if err := read(); err != nil {
		return r, err
	}
	timer := time.NewTimer(time.Duration(args.SleepS * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	if err := read(); err != nil {
		return r, err
	}
	r.After = last
	return r, nil
}

func readClocks() (Clocks, error) {
	var mono, wall unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return Clocks{}, os.NewSyscallError("clock_gettime(CLOCK_MONOTONIC)", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall); err != nil {
		return Clocks{}, os.NewSyscallError("clock_gettime(CLOCK_REALTIME)", err)
	}
	return Clocks{mono.Nano(), wall.Nano()}, nil
}
