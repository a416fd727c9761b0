//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// maxLimit and maxPace bound what a host may ask for.
const (
	maxLimit = 600 // seconds
	maxPace  = 1_000_000
)

// race is one instance with its fault. side performs one operation of thread 0 or
// 1 and reports whether the fault was seen; over ends a wait for the other thread.
type race interface {
	side(thread int, over *atomic.Bool) bool
}

// Operations are the races' operations by name.
func Operations() map[string]suites.Operation {
	return map[string]suites.Operation{OpFind: func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args FindArgs
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		return find(ctx, args)
	}}
}

func newRace(name string) (race, error) {
	switch name {
	case "update":
		return newUpdate(), nil
	case "stack":
		return newStack(), nil
	case "retire":
		return newRetire(), nil
	}
	return nil, fmt.Errorf("no race %q", name)
}

// find runs one race on CPUs 0 and 1.
func find(ctx context.Context, args FindArgs) (Found, error) {
	r, err := newRace(args.Race)
	if err != nil {
		return Found{}, err
	}
	if !(args.Limit > 0 && args.Limit <= maxLimit) || min(args.Pace[0], args.Pace[1]) < 0 || max(args.Pace[0], args.Pace[1]) > maxPace {
		return Found{}, fmt.Errorf("limit of %v s, pace %v: want up to %d s and 0 to %d", args.Limit, args.Pace, maxLimit, maxPace)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(args.Limit*float64(time.Second)))
	defer cancel()
	var over, seen atomic.Bool
	defer context.AfterFunc(ctx, func() { over.Store(true) })()
	var rounds [2]uint64
	var errs [2]error
	var threads sync.WaitGroup
	start := time.Now()
	for thread := range 2 {
		threads.Go(func() {
			// Never unlocked: the thread ends with the goroutine, and its binding with it.
			runtime.LockOSThread()
			if errs[thread] = bindThread(thread); errs[thread] != nil {
				over.Store(true)
				return
			}
			rounds[thread] = run(r, thread, args, &over, &seen)
		})
	}
	threads.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return Found{}, err
	}
	return Found{Found: seen.Load(), After: time.Since(start).Seconds(), Rounds: rounds[0]}, nil
}

// run is one thread: work of its own, an operation, and again, until the fault
// was seen or the time is over.
func run(r race, thread int, args FindArgs, over, seen *atomic.Bool) (rounds uint64) {
	draw := args.Seed*2 + uint64(thread)
	x := uint64(1)
	for !over.Load() {
		draw = draw*6364136223846793005 + 1442695040888963407 // MMIX's, by Knuth
		for range (draw >> 33) % uint64(args.Pace[thread]+1) {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		rounds++
		if r.side(thread, over) {
			seen.Store(true)
			over.Store(true)
		}
	}
	runtime.KeepAlive(x)
	return rounds
}
