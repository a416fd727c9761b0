//go:build linux || freebsd

package guest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// thread does one worker's work.
type thread struct {
	*storm
	Worker
	n    int // of the worker's threads
	rand *rand.Rand
	done chan struct{} // closed when it has ended
	held []byte        // of a fault: what is said later

	mu     sync.Mutex
	ops    int64
	bytes  int64
	errnos map[string]int
	most   time.Duration // the longest call
	mostIn string
	in     string // the call that is under way; empty: none
	since  time.Time
	died   []int
}

// work is what threads of a kind do; nil: there is no such kind.
func work(kind string) func(*thread) error {
	switch kind {
	case Lines:
		return (*thread).writeLines
	case Echo:
		return (*thread).echo
	case Kernel:
		return (*thread).kernelLines
	case Ptys:
		return (*thread).churnPtys
	case Sessions:
		return (*thread).churnSessions
	case Diverts:
		return (*thread).divert
	case Opens:
		return (*thread).openClose
	case Lists:
		return (*thread).list
	case Sets:
		return (*thread).set
	case Memory:
		return (*thread).takeMemory
	}
	return nil
}

func (t *thread) run(f func(*thread) error) {
	defer close(t.done)
	if err := f(t); err != nil {
		t.fails(fmt.Errorf("%s: %w", strings.TrimSpace(t.Kind+" "+t.Path), err))
	}
}

// next says whether another operation is due, and waits for its time.
func (t *thread) next() bool {
	t.mu.Lock()
	ops := t.ops
	t.mu.Unlock()
	if t.Count > 0 && ops >= int64(t.Count) {
		return false
	}
	if t.Rate > 0 {
		return t.pause(time.Duration(float64(time.Second) / t.Rate))
	}
	select {
	case <-t.over:
		return false
	default:
		return true
	}
}

// pause lets some time pass; false: the storm is over.
func (t *thread) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.over:
		return false
	}
}

// did counts an operation.
func (t *thread) did(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ops++
	t.bytes += int64(bytes)
}

// call makes a call, with its name for people. Its error is counted.
func (t *thread) call(name string, f func() error) error {
	t.mu.Lock()
	t.in, t.since = name, time.Now()
	t.mu.Unlock()
	if t.hits(NeverWoken) {
		<-t.left
	}
	err := f()
	t.mu.Lock()
	defer t.mu.Unlock()
	if took := time.Since(t.since); took > t.most {
		t.most, t.mostIn = took, name
	}
	t.in = ""
	var errno unix.Errno
	if errors.As(err, &errno) {
		if key := name + " " + unix.ErrnoName(errno); t.errnos[key] > 0 || len(t.errnos) < MaxErrnos {
			t.errnos[key]++
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// account is what the thread did until now.
func (t *thread) account() Work {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := Work{Kind: t.Kind, Path: t.Path, Ops: t.ops, Bytes: t.bytes, Errnos: maps.Clone(t.errnos), Slowest: t.mostIn, Died: t.died}
	select {
	case <-t.done:
	default:
		w.Stuck = t.in
		if t.in == "" {
			w.Stuck, t.since = "no call", time.Now()
		}
		w.InS = time.Since(t.since).Seconds()
	}
	w.SlowestS = t.most.Seconds()
	return w
}

// faults are those that can be planted.
var faults = []string{LoseLine, TearLine, SwapLines, TwiceLine, TearKernel, NeverWoken, LeakFD, Panic}

// hits says whether the storm's fault is this one, and hits here.
func (t *thread) hits(name string) bool {
	f := t.args.Fault
	return f != nil && f.Name == name && t.rand.IntN(f.Every) == 0
}
