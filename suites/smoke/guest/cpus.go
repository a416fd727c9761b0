//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	maxCPUs = 1024 // what an affinity mask of both systems holds
	// On each CPU a thread looks this often where it is, computing in between.
	cpuLooks = 20
	cpuWork  = 20_000 // words of the pattern
)

// cpus binds a thread to each CPU in turn.
func cpus(ctx context.Context, args CPUArgs) (CPUs, error) {
	online, err := onlineCPUs()
	if err != nil {
		return CPUs{}, err
	}
	result := CPUs{Online: online}
	for cpu := range min(args.Count, maxCPUs) {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		run := make(chan CPURun)
		errs := make(chan error)
		go func() {
			// Never unlocked: the thread ends with the goroutine, and its binding
			// with it.
			runtime.LockOSThread()
			r, err := runOn(cpu)
			if err != nil {
				errs <- err
				return
			}
			run <- r
		}()
		select {
		case r := <-run:
			result.Tried = append(result.Tried, r)
		case err := <-errs:
			return result, err
		}
	}
	return result, nil
}

// runOn binds the calling thread to a CPU and works there.
func runOn(cpu int) (CPURun, error) {
	r := CPURun{CPU: cpu}
	if err := bindThread(cpu); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			r.Refused = unix.ErrnoName(errno)
			return r, nil
		}
		return r, err
	}
	sum := uint64(0)
	for range cpuLooks {
		at, err := currentCPU()
		if err != nil {
			return r, err
		}
		r.Saw = append(r.Saw, at)
		for i := range cpuWork {
			sum ^= Word(sum, i)
		}
	}
	runtime.KeepAlive(sum)
	return r, nil
}
