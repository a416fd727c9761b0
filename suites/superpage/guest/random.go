//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headwatch/headwatch/suites/superpage/model"
)

// errEnough ends a run.
var errEnough = errors.New("enough")

// timed is a machine that measures itself.
type timed struct {
	*machine
	busy  time.Duration
	ops   int64
	pages int64
	large func() // called once all was filled; nil: not again
}

func (t *timed) Do(op model.Op) (model.Saw, error) {
	began := time.Now()
	saw, err := t.machine.Do(op)
	t.busy += time.Since(began)
	t.ops++
	t.pages += int64(len(saw.Pages))
	if t.large != nil && op.Kind == model.Write && op.First+op.Count == model.Pages {
		t.large()
		t.large = nil
	}
	return saw, err
}

// script performs one script again and again.
func script(ctx context.Context, args ScriptArgs) (r Random, err error) {
	s, err := model.Parse(args.Script)
	if err == nil {
		err = errors.Join(within("times", args.Times, 1, 1000), within("workers", args.Workers, 0, 16))
	}
	if err != nil {
		return r, err
	}
	threads := 1
	for _, op := range s {
		threads = max(threads, op.Thread+1)
	}
	return play(ctx, max(1, args.Workers), threads, args.Fault, func(_, n int) model.Script {
		if n >= args.Times {
			return nil
		}
		return s
	})
}

// random performs scripts that it draws.
func random(ctx context.Context, args RandomArgs) (r Random, err error) {
	if !(args.LimitS > 0 && args.LimitS <= 7200) {
		return r, errors.New("limit_s: want more than 0 and at most 7200")
	}
	if err := errors.Join(within("ops", args.Ops, 1, 300), within("workers", args.Workers, 1, 16), within("threads", args.Threads, 1, model.MaxThreads)); err != nil {
		return r, err
	}
	end := time.Now().Add(time.Duration(args.LimitS * float64(time.Second)))
	with := model.Options{Threads: args.Threads, Forks: args.Forks, NoLocks: os.Geteuid() != 0}
	return play(ctx, args.Workers, args.Threads, args.Fault, func(worker, n int) model.Script {
		if args.Scripts > 0 && n >= args.Scripts || time.Now().After(end) {
			return nil
		}
		return model.Generate(rand.New(rand.NewPCG(args.Seed+uint64(worker), uint64(n))), runtime.GOOS, args.Ops, with)
	})
}

// play has workers perform the scripts that next gives them, until it gives none or one
// mismatches.
func play(ctx context.Context, workers, threads int, fault string, next func(worker, n int) model.Script) (r Random, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var scripts atomic.Int64
	var mu sync.Mutex
	var filled, large int
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			m, err := newMachine(w, threads, fault)
			if err != nil {
				stop(err)
				return
			}
			defer m.Close()
			t := &timed{machine: m}
			began := time.Now()
			for n := 0; ctx.Err() == nil; n++ {
				s := next(w, n)
				if s == nil {
					break
				}
				if n%16 == 0 {
					t.large = func() {
						count, err := largePages(m.at, rangeSize)
						if err != nil {
							stop(err)
						}
						mu.Lock()
						filled, large = filled+model.Pages, large+count
						mu.Unlock()
					}
				}
				wrong, err := model.Run(runtime.GOOS, t, s)
				if err == nil && wrong == nil {
					err = m.reset()
				}
				if err != nil {
					stop(err)
					return
				}
				scripts.Add(1)
				if wrong != nil {
					mu.Lock()
					if r.Mismatch == nil {
						r.Mismatch = &Mismatch{Script: s.String(), At: wrong.At, What: wrong.What, Time: n}
					}
					mu.Unlock()
					stop(errEnough)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			r.BusyS += t.busy.Seconds()
			r.ElapsedS += time.Since(began).Seconds()
			r.Ops += t.ops
			r.Pages += t.pages
		})
	}
	wait.Wait()
	r.Scripts = scripts.Load()
	r.Large = float64(large) / max(1, float64(filled))
	if cause := context.Cause(ctx); cause != nil && cause != errEnough && r.Mismatch == nil {
		return r, cause
	}
	return r, nil
}
