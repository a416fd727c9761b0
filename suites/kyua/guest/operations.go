//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites"
)

const (
	logPart  = 64 << 10         // bytes of log in one answer
	longWait = 30 * time.Second // the longest that a poll waits
	longRun  = 7 * 24 * 3600    // seconds; more is a mistake
)

// Runs owns the guest's one run of kyua. Two at a time would disturb each other:
// a new one ends the one before, whose host is gone.
type Runs struct {
	mu  sync.Mutex
	now *run // nil: none
}

// NewRuns is without a run. Close it.
func NewRuns() *Runs { return &Runs{} }

// Operations are the suite's operations by name.
func (r *Runs) Operations() map[string]suites.Operation {
	return map[string]suites.Operation{
		OpStart:   operation(r.start),
		OpPoll:    operation(r.poll),
		OpFetch:   operation(r.fetch),
		OpCleanup: operation(r.cleanup),
	}
}

// Close ends a run that is still there and waits for it.
func (r *Runs) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drop()
}

// drop ends and removes the run. The caller holds the lock.
func (r *Runs) drop() error {
	if r.now == nil {
		return nil
	}
	err := r.now.remove()
	r.now = nil
	return err
}

func (r *Runs) start(_ context.Context, args StartArgs) (Started, error) {
	if args.TimeoutS <= 0 || args.TimeoutS > longRun {
		return Started{}, fmt.Errorf("%v s for kyua: want more than 0 and at most %d", args.TimeoutS, longRun)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.drop(); err != nil {
		return Started{}, fmt.Errorf("the run before: %w", err)
	}
	program, missing := find(args)
	if missing != "" {
		return Started{Missing: missing}, nil
	}
	now, err := begin(program, args)
	if err != nil {
		return Started{}, err
	}
	r.now = now
	return Started{Run: now.dir}, nil
}

// of is the run that the host means.
func (r *Runs) of(name string) (*run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || r.now.dir != name {
		return nil, fmt.Errorf("there is no run %q", name)
	}
	return r.now, nil
}

// poll answers as soon as there is something to tell, so that the host knows
// which test was running when the guest dies.
func (r *Runs) poll(ctx context.Context, args PollArgs) (Progress, error) {
	now, err := r.of(args.Run)
	if err != nil {
		return Progress{}, err
	}
	wait := min(max(0, time.Duration(args.WaitS*float64(time.Second))), longWait)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for late := false; ; {
		// Looked at before the log: nothing is printed after the end.
		over := now.over()
		text, from, next, changed := now.log.from(args.Offset, logPart)
		p := Progress{From: from, Log: text, Next: next}
		if text == "" && over {
			p.End = &now.end
		}
		if text != "" || over || late {
			return p, nil
		}
		select {
		case <-changed:
		case <-now.done:
		case <-timeout.C:
			late = true
		case <-ctx.Done():
			return Progress{}, ctx.Err()
		}
	}
}

func (r *Runs) fetch(_ context.Context, args FetchArgs) (Chunk, error) {
	now, err := r.of(args.Run)
	if err != nil {
		return Chunk{}, err
	}
	if !now.over() {
		return Chunk{}, errors.New("kyua still runs: its results file is not whole")
	}
	if now.end.Fault != "" {
		return Chunk{}, errors.New(now.end.Fault)
	}
	file, err := os.Open(now.results())
	if err != nil {
		return Chunk{}, ours("results file", err)
	}
	defer file.Close()
	data := make([]byte, ChunkBytes)
	n, err := file.ReadAt(data, args.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return Chunk{}, ours("results file", err)
	}
	return Chunk{Data: data[:n]}, nil
}

func (r *Runs) cleanup(_ context.Context, args CleanupArgs) (struct{}, error) {
	if _, err := r.of(args.Run); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, r.Close()
}

// ours describes an error without wrapping it: the errno would read as the
// kernel's refusal.
func ours(what string, err error) error { return fmt.Errorf("%s: %v", what, err) }

// operation decodes the arguments of f.
func operation[Args, Result any](f func(context.Context, Args) (Result, error)) suites.Operation {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args Args
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		return f(ctx, args)
	}
}
