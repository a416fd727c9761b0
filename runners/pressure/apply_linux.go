package pressure

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery is how often a step without pauses looks whether it is to stop.
const pollEvery = 5 * time.Millisecond

const (
	preferred = -20 // niceness; of the first rank, too
	rankStep  = 5   // from a rank to the next: a third of the other's share of a core
	leastNice = 19
	unchanged = 99 // no niceness
)

// Pressure is a plan that is carried out. Its owner ends it with Stop.
type Pressure struct {
	threads []int
	cores   []int         // of the host, that the threads may use between them
	before  []unix.CPUSet // where each thread might run
	nice    []int         // and how readily; nil: it was not changed
	over    atomic.Bool
	done    chan struct{}
	err     error // set before done is closed
}

// Cores is on how many cores of the host this process may run.
func Cores() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 1
	}
	return max(1, set.Count())
}

// Apply carries out steps on threads of other processes, given by their ids,
// until Stop. It needs to be their user, or to have CAP_SYS_NICE. With that it
// pauses at a real-time priority, hence exactly, and lets the threads run before
// others: a pause of one is no use while another does not run either. Without, a
// thread's niceness could not be undone, and is left alone.
func Apply(threads []int, steps iter.Seq[Step]) (*Pressure, error) {
	p := &Pressure{threads: threads, before: make([]unix.CPUSet, len(threads)), done: make(chan struct{})}
	for i, tid := range threads {
		if err := unix.SchedGetaffinity(tid, &p.before[i]); err != nil {
			return nil, fmt.Errorf("thread %d: %w", tid, os.NewSyscallError("sched_getaffinity", err))
		}
	}
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	for core := range len(own) * 64 {
		if own.IsSet(core) {
			p.cores = append(p.cores, core)
		}
	}
	go func() {
		defer close(p.done)
		// Never unlocked: the thread ends with the goroutine, and its priority and its
		// binding with it.
		runtime.LockOSThread()
		err := p.carryOut(steps)
		p.err = errors.Join(err, p.undo())
	}()
	return p, nil
}

// Stop ends the pressure and undoes it. The error says what could not be done;
// threads that are gone are none. It may be called often.
func (p *Pressure) Stop() error {
	p.over.Store(true)
	<-p.done
	return p.err
}

func (p *Pressure) carryOut(steps iter.Seq[Step]) error {
	if sharpen() {
		p.remember()
	}
	for s := range steps {
		if p.over.Load() {
			return nil
		}
		if err := p.place(s); err != nil {
			if errors.Is(err, unix.ESRCH) {
				return nil // the machine is gone
			}
			return err
		}
		if s.Victim < 0 {
			p.rest(s.For)
		} else {
			p.harass(s)
		}
	}
	return nil
}

// sharpen makes the calling thread's timers exact, and lets it run before
// others if it may: that is told.
func sharpen() (privileged bool) {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // nanosecond; cannot fail
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	return unix.SchedSetAttr(0, &attr, 0) == nil
}

// remember notes how readily the threads ran: from here on that may be changed.
func (p *Pressure) remember() {
	for _, tid := range p.threads {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil || attr.Policy != unix.SCHED_NORMAL {
			p.nice = append(p.nice, unchanged)
			continue
		}
		p.nice = append(p.nice, int(attr.Nice))
	}
}

// place binds and ranks the threads, and binds the calling one to its victim's core.
func (p *Pressure) place(s Step) error {
	for i, tid := range p.threads {
		set := p.before[i]
		if core := s.Cores[i]; core != anywhere {
			set = unix.CPUSet{}
			set.Set(p.cores[core])
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("thread %d: %w", tid, os.NewSyscallError("sched_setaffinity", err))
		}
	}
	for i, was := range p.nice {
		nice := preferred
		if s.Ranks != nil {
			nice = min(leastNice, preferred+rankStep*s.Ranks[i])
		}
		if was != unchanged {
			_ = unix.Setpriority(unix.PRIO_PROCESS, p.threads[i], nice) // of one thread, on Linux
		}
	}
	var set unix.CPUSet
	for _, core := range p.cores {
		set.Set(core)
	}
	if s.Victim >= 0 {
		set = unix.CPUSet{}
		set.Set(p.cores[s.Cores[s.Victim]])
	}
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
}

// harass pauses the victim by taking its core, again and again.
func (p *Pressure) harass(s Step) {
	r := rand.New(rand.NewPCG(s.Seed, 0))
	for end := time.Now().Add(s.For); !p.over.Load(); {
		start := time.Now()
		if start.After(end) {
			return
		}
		for time.Since(start) < s.Pause {
		}
		sleep(s.Gap/2 + time.Duration(r.Int64N(int64(s.Gap))))
	}
}

// rest lets a step pass.
func (p *Pressure) rest(d time.Duration) {
	for end := time.Now().Add(d); !p.over.Load(); {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		sleep(min(left, pollEvery))
	}
}

// sleep is the thread's, not the goroutine's: the Go scheduler would come back
// up to milliseconds late.
func sleep(d time.Duration) {
	if d > 0 {
		t := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // an early end is as good
	}
}

// undo lets the threads run where and how they might before.
func (p *Pressure) undo() error {
	var errs []error
	for i, tid := range p.threads {
		if err := unix.SchedSetaffinity(tid, &p.before[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("thread %d: %w", tid, os.NewSyscallError("sched_setaffinity", err)))
		}
	}
	for i, nice := range p.nice {
		if nice == unchanged {
			continue
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, p.threads[i], nice); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("thread %d: %w", p.threads[i], os.NewSyscallError("setpriority", err)))
		}
	}
	return errors.Join(errs...)
}
