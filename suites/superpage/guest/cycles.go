//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// cycleSize is what a cycle maps, and leaks is where what FaultLeak leaves behind lies:
// each page in a page table of its own.
const (
	cycleSize = 2 * largeSize
	leaks     = base + 1<<40
)

// cycles maps large pages, takes them apart and gives them back, and counts what is in
// use in between.
func cycles(ctx context.Context, args CyclesArgs) (r Cycles, err error) {
	if err := errors.Join(within("count", args.Count, 1, 1_000_000), within("samples", args.Samples, 2, 64)); err != nil {
		return r, err
	}
	began := time.Now()
	large, looked := 0, 0
	for n := 0; ; n++ {
		if n*(args.Samples-1) >= len(r.Samples)*args.Count {
			s := CycleSample{Cycles: n}
			if s.Counters, err = counters(); err != nil {
				return r, err
			}
			if s.RSS, err = residentBytes(); err != nil {
				return r, err
			}
			r.Samples = append(r.Samples, s)
		}
		if n == args.Count {
			break
		}
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		count, wrong, err := cycle(uint64(n), n%16 == 0)
		if err != nil {
			return r, err
		}
		if n%16 == 0 {
			large, looked = large+count, looked+cycleSize/pageSize
		}
		r.Wrong += wrong
		if args.Fault == FaultLeak {
			at := leaks + uintptr(n)*largeSize
			if err := mapAnon(at, pageSize, unix.PROT_READ|unix.PROT_WRITE); err != nil {
				return r, err
			}
			*word(at) = 1
		}
	}
	r.Large = float64(large) / float64(looked)
	r.TookS = time.Since(began).Seconds()
	return r, nil
}

// cycle is one. look says whether to count large pages, which costs more than the rest.
func cycle(n uint64, look bool) (large, wrong int, err error) {
	addr, err := mapAligned(cycleSize, false, -1)
	if err != nil {
		return 0, 0, err
	}
	fill(addr, cycleSize, n)
	if look {
		if large, err = largePages(addr, cycleSize); err != nil {
			return 0, 0, err
		}
	}
	err = mprotect(addr+uintptr(n%512)*pageSize, pageSize, unix.PROT_READ)
	wrong, _ = verify(addr, cycleSize, n)
	half := cycleSize/2 + uintptr(n*7%256)*pageSize
	return large, wrong, errors.Join(err, munmap(addr+half, cycleSize-half), munmap(addr, half))
}
