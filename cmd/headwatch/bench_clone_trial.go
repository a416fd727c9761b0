package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

// cloneTrial is one target's measurement under way.
type cloneTrial struct {
	bench *workbench
	image runners.Bootable
	dir   string
}

// series are the times of one kind of start.
type series struct {
	took []time.Duration
	cpu  time.Duration // of all together
}

func (s *series) median() float64 { return s.took[len(s.took)/2].Seconds() }
func (s *series) best() float64   { return s.took[0].Seconds() }
func (s *series) worst() float64  { return s.took[len(s.took)-1].Seconds() }
func (s *series) cpuMean() float64 {
	return s.cpu.Seconds() / float64(len(s.took))
}

func bootTime(f runners.Facts) time.Duration  { return f.BootTime }
func startTime(f runners.Facts) time.Duration { return f.StartTime }

// add times a start; what before waits for is not timed.
func (s *series) add(t *cloneTrial, took func(runners.Facts) time.Duration, start func() (runners.Machine, error), before func() error) error {
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	spent := cpuTime()
	f, err := t.time(start)
	if err != nil {
		return err
	}
	s.took, s.cpu = append(s.took, took(f)), s.cpu+cpuTime()-spent
	return nil
}

// cpuTime is what this process and those of its children that have ended have spent.
// A machine that was made ahead counts whole when it has ended.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil { // it fails for another who only
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// time starts a machine and ends it.
func (t *cloneTrial) time(start func() (runners.Machine, error)) (runners.Facts, error) {
	m, err := start()
	if err != nil {
		return runners.Facts{}, err
	}
	f := m.Facts()
	_, err = m.Close()
	return f, err
}

// memory is what clonesAtOnce clones take together, in MiB.
func (t *cloneTrial) memory(ctx context.Context, template runners.Template) (float64, error) {
	var mu sync.Mutex
	var machines []runners.Machine
	var failures []error
	var starts sync.WaitGroup
	slots := make(chan struct{}, benchSMP)
	for range clonesAtOnce {
		slots <- struct{}{}
		starts.Go(func() {
			m, err := t.start(ctx, template)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
				return
			}
			machines = append(machines, m)
		})
	}
	starts.Wait()
	size := childrenMemory()
	for _, m := range machines {
		_, err := m.Close()
		failures = append(failures, err)
	}
	return float64(size) / (1 << 20), errors.Join(failures...)
}

func (t *cloneTrial) start(ctx context.Context, template runners.Template) (runners.Machine, error) {
	dir, err := t.room()
	if err != nil {
		return nil, err
	}
	return template.Start(ctx, runners.Start{Dir: dir, ConsoleLog: console.New(console.Options{})})
}

func (t *cloneTrial) spec() (runners.Spec, error) {
	dir, err := t.room()
	return runners.Spec{
		SMP: benchSMP, Memory: benchMemory, Accel: "auto", NICs: []runners.NIC{{Model: "virtio-net", Link: "wire"}},
		Dir: dir, ConsoleLog: console.New(console.Options{}),
	}, err
}

// room is a new folder for a machine.
func (t *cloneTrial) room() (string, error) {
	return os.MkdirTemp(t.dir, "machine-")
}

// childrenMemory is what the processes that this one started take, in bytes: the
// sum of their proportional set sizes (proc(5), smaps_rollup), which counts a page
// that n of them share as 1/n in each. 0 where there is no such file.
func childrenMemory() int64 {
	var sum int64
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range tasks {
		pids, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, pid := range strings.Fields(string(pids)) {
			text, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
			if err != nil {
				continue
			}
			for line := range bytes.Lines(text) {
				if f := strings.Fields(string(line)); len(f) == 3 && f[0] == "Pss:" {
					kib, _ := strconv.ParseInt(f[1], 10, 64) // not a number: it counts as none
					sum += kib << 10
				}
			}
		}
	}
	return sum
}
