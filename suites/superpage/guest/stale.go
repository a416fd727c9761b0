//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// lateness is how late FaultLate is.
const lateness = 5 * time.Millisecond

// taking is one round: what is taken from which pages, and what is still allowed.
type taking struct {
	way         string
	seed        uint64
	from, count int // pages that it is taken from
	loads       bool
	zeros       bool         // loads see zeros from then on
	returned    atomic.Int64 // when the call did, in the process's time; 0: not yet
}

// prober is a thread on a CPU of its own.
type prober struct {
	cpu     int
	scratch int
	values  int
	rand    *rand.Rand
	in      chan *taking
	begun   chan struct{}
	out     chan probed
}

// probed is what a prober saw in a round.
type probed struct {
	probes, denied int64
	hits           []Hit
	err            error
}

// started is what the process's time counts from.
var started = time.Now()

// stale takes things away from large pages while threads use them.
func stale(ctx context.Context, args StaleArgs) (r Stale, err error) {
	if err := errors.Join(within("rounds", args.Rounds, 1, 10_000), within("probes", args.Probes, 1, 100_000)); err != nil {
		return r, err
	}
	cpus, err := cpuList()
	if err != nil {
		return r, err
	}
	object, err := memoryObject()
	if err != nil {
		return r, err
	}
	defer unix.Close(object)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var threads sync.WaitGroup
	var all []*prober
	defer func() {
		for _, p := range all {
			close(p.in)
		}
		threads.Wait()
	}()
	for i, cpu := range cpus[:min(len(cpus), 16)] {
		p := &prober{cpu: cpu, values: object, rand: rand.New(rand.NewPCG(args.Seed, uint64(i))), in: make(chan *taking), begun: make(chan struct{}), out: make(chan probed)}
		if p.scratch, err = scratchObject(pageSize); err != nil {
			return r, err
		}
		all = append(all, p)
		threads.Go(func() { p.run(args.Probes) })
	}
	defer func() { err = errors.Join(err, munmap(base, largeSize)) }()
	draw := rand.New(rand.NewPCG(args.Seed, 1<<32))
	for _, way := range args.Ways {
		if !slices.Contains(Ways, way) {
			return r, fmt.Errorf("no way %q", way)
		}
		w := StaleWay{Way: way}
		began := time.Now()
		for ; w.Rounds < args.Rounds && ctx.Err() == nil; w.Rounds++ {
			caller := cpus[w.Rounds%len(cpus)]
			if err := bindThread(caller); err != nil {
				return r, err
			}
			if err := w.round(draw, all, object, caller, args.Fault); err != nil {
				return r, fmt.Errorf("%s, round %d: %w", way, w.Rounds, err)
			}
		}
		w.Large /= float64(max(1, w.Rounds))
		w.TookS = time.Since(began).Seconds()
		r.Ways = append(r.Ways, w)
	}
	return r, context.Cause(ctx)
}

// round maps a large page anew, has all use it, and takes something away.
func (w *StaleWay) round(draw *rand.Rand, all []*prober, object, caller int, fault string) error {
	t := &taking{way: w.Way, seed: draw.Uint64(), count: largeSize / pageSize}
	switch w.Way {
	case WayPart, WayUnmapPart:
		t.count = 2 + draw.IntN(63)
		t.from = draw.IntN(largeSize/pageSize - t.count)
	}
	t.loads = w.Way == WayReadOnly || w.Way == WayPart
	t.zeros = w.Way == WayReplace || w.Way == WayDontNeed
	if err := errors.Join(munmap(base, largeSize), unix.Ftruncate(object, 0), unix.Ftruncate(object, largeSize)); err != nil {
		return err
	}
	if w.Way == WayTruncate {
		if err := errors.Join(fillObject(object, largeSize, t.seed), mapObject(base, largeSize, unix.PROT_READ|unix.PROT_WRITE, object, 0)); err != nil {
			return err
		}
	} else if err := mapAnon(base, largeSize, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	for page := range largeSize / pageSize {
		*t.word(page) = stamp(t.seed, uintptr(page))
	}
	large, err := largePages(base, largeSize)
	if err != nil {
		return err
	}
	w.Large += float64(large) / (largeSize / pageSize)
	for _, p := range all {
		p.in <- t
	}
	for _, p := range all {
		<-p.begun
	}
	if fault == FaultLate {
		t.returned.Store(int64(time.Since(started)))
		time.Sleep(lateness) // the fault is that it is late
	}
	err = t.take(object, fault)
	t.returned.CompareAndSwap(0, int64(time.Since(started)))
	for _, p := range all {
		saw := <-p.out
		err = errors.Join(err, saw.err)
		w.Probes += saw.probes
		w.Denied += saw.denied
		for _, h := range saw.hits {
			if h.Caller = caller; len(w.Hits) < MaxHits {
				w.Hits = append(w.Hits, h)
			}
		}
	}
	return err
}

// word is where a page has its stamp.
func (t *taking) word(page int) *uint64 { return word(t.addr(page)) }

func (t *taking) addr(page int) uintptr { return base + uintptr(page)*pageSize + uintptr(page)*8 }

// take makes the call.
func (t *taking) take(object int, fault string) error {
	count := t.count
	if fault == FaultStale {
		count-- // the last page keeps what it had
	}
	from, size := base+uintptr(t.from)*pageSize, uintptr(count)*pageSize
	switch t.way {
	case WayReadOnly, WayPart:
		return mprotect(from, size, unix.PROT_READ)
	case WayNone:
		return mprotect(from, size, unix.PROT_NONE)
	case WayUnmap, WayUnmapPart:
		return munmap(from, size)
	case WayReplace:
		return mapAnon(from, size, unix.PROT_READ|unix.PROT_WRITE)
	case WayDontNeed:
		return madvise(from, size, adviceDontNeed)
	case WayTruncate:
		return unix.Ftruncate(object, int64(largeSize-size))
	}
	return fmt.Errorf("way %q is not known here", t.way)
}

// run is the thread's life.
func (p *prober) run(probes int) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its binding with it
	defer unix.Close(p.scratch)
	bound := bindThread(p.cpu)
	for t := range p.in {
		p.warm(t)
		var saw probed
		for range probes {
			if saw.err = errors.Join(bound, p.probe(t, &saw)); saw.err != nil {
				break
			}
		}
		p.out <- saw
	}
}

// warm uses all pages until the call has returned, so that the CPU knows them. Where
// zeros must be seen afterwards nothing is stored: it could be what is seen.
func (p *prober) warm(t *taking) {
	use := func(page int) {
		caught(base, largeSize, func() {
			if v := *t.word(page); !t.zeros {
				caught(base, largeSize, func() { atomic.StoreUint64(t.word(page), v) })
			}
		})
	}
	for page := range largeSize / pageSize {
		use(page)
	}
	p.begun <- struct{}{}
	for page := 0; t.returned.Load() == 0; page++ {
		use(page % (largeSize / pageSize))
	}
}

// probe tries one page in one way.
func (p *prober) probe(t *taking, saw *probed) error {
	page := t.from + p.rand.IntN(t.count)
	if p.rand.IntN(8) == 0 {
		page = t.from + t.count - 1
	}
	taken := p.rand.IntN(4) != 0 || t.count == largeSize/pageSize
	if !taken {
		page = (t.from + t.count + p.rand.IntN(largeSize/pageSize-t.count)) % (largeSize / pageSize)
	}
	h := Hit{CPU: p.cpu, Page: page, Addr: uint64(t.addr(page))}
	since := time.Duration(t.returned.Load())
	var got uint64
	var refused bool
	load := func() { refused = caught(base, largeSize, func() { got = *t.word(page) }) }
	store := func() {
		refused = caught(base, largeSize, func() { atomic.StoreUint64(t.word(page), stamp(t.seed, uintptr(page))) })
	}
	want := stamp(t.seed, uintptr(page))
	if !taken || t.loads && p.rand.IntN(4) == 0 || t.zeros {
		if h.Probe = "load"; t.zeros {
			want = 0
			saw.probes++
		}
		if load(); refused || got != want {
			h.Lost, h.Got = refused || !t.zeros, got
		} else {
			if t.zeros {
				saw.denied++
			}
			return nil
		}
	} else {
		saw.probes++
		var err error
		if h.Probe, err = p.forbidden(t, page, load, store, &refused); err != nil {
			return err
		}
		if refused {
			saw.denied++
			return nil
		}
	}
	h.SinceUS = (time.Since(started) - since).Seconds() * 1e6
	if len(saw.hits) < MaxHits {
		saw.hits = append(saw.hits, h)
	}
	return nil
}

// forbidden tries what must be refused.
func (p *prober) forbidden(t *taking, page int, load, store func(), refused *bool) (name string, err error) {
	kinds := 4
	if t.loads {
		kinds = 2
	}
	at := base + uintptr(page)*pageSize
	switch p.rand.IntN(kinds) {
	case 0:
		store()
		return "store", nil
	case 1:
		if t.way == WayTruncate { // what a system call would write is the object's own first page
			store()
			return "store", nil
		}
		a, err := kernelStore(p.values, at)
		*refused = a.Fault
		return "read(2) into it", err
	case 2:
		a, err := kernelLoad(p.scratch, at)
		*refused = a.Fault
		return "write(2) from it", err
	}
	load()
	return "load", nil
}
