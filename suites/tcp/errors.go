package tcp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/headwatch/headwatch/suites"
)

// peerError is what the host's end of a connection said. By itself it proves nothing
// of the guest; with a finding on the wire it does.
type peerError struct{ err error }

func (e *peerError) Error() string { return e.err.Error() }
func (e *peerError) Unwrap() error { return e.err }

// peers gives the error of the host's end of a connection; that it was told to stop is
// none.
func peers(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return &peerError{fmt.Errorf("%s: %w", what, err)}
}

func isPeers(err error) bool {
	_, ok := errors.AsType[*peerError](err)
	return ok
}

// timely is an error that a guest or a host without CPUs has, too.
type timely struct {
	err   error
	again bool // it is worth another try
}

func (e *timely) Error() string { return e.err.Error() }
func (e *timely) Unwrap() error { return e.err }

// latef is suites.Failf for what a host that is busy for a moment can cause; stallf for
// what takes so long that only one that starves its guest can.
func latef(format string, args ...any) error {
	return &timely{suites.Failf(format, args...), true}
}

func stallf(format string, args ...any) error {
	return &timely{suites.Failf(format, args...), false}
}

// slowf is what the host did and the guest could not help: nobody's failure.
func slowf(format string, args ...any) error { return &timely{fmt.Errorf(format, args...), true} }

// worthAnotherTry says whether err may not come again on the same kernel.
func worthAnotherTry(err error) bool {
	t, ok := errors.AsType[*timely](err)
	return ok && t.again
}

// excuse takes back a failure that is about time when the host was overloaded.
func excuse(err error, load suites.Load) error {
	if _, ok := errors.AsType[*timely](err); ok && load.Overloaded() {
		_, reason := suites.Classify(err)
		return fmt.Errorf("%v: %s", load, reason)
	}
	return err
}

// within says where an error is from, and keeps whose fault it is.
func within(where string, err error) error {
	if err == nil {
		return nil
	}
	switch status, reason := suites.Classify(err); status {
	case suites.Failed:
		failed := suites.Failf("%s: %s", where, reason)
		if t, ok := errors.AsType[*timely](err); ok {
			return &timely{failed, t.again}
		}
		return failed
	case suites.Skipped:
		return suites.Skipf("%s: %s", where, reason)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// all runs functions side by side. The first that fails ends the others' context. Its
// error is the one that counts, unless another one is the kernel's failure.
func all(ctx context.Context, fs ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	var mu sync.Mutex
	var first, failed error
	for _, f := range fs {
		wait.Go(func() {
			err := f(ctx)
			if err == nil {
				return
			}
			cancel()
			mu.Lock()
			defer mu.Unlock()
			if status, _ := suites.Classify(err); status == suites.Failed && failed == nil {
				failed = err
			}
			if first == nil {
				first = err
			}
		})
	}
	wait.Wait()
	if failed != nil {
		return failed
	}
	return first
}
