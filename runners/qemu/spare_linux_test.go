package qemu

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/guest/renewal"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// withSpare returns a template that has served so many starts that it has a spare.
func withSpare(t *testing.T, r *Runner) *template {
	t.Helper()
	s := spec(t)
	s.NICs = []runners.NIC{{Model: "virtio-net", Link: "wire"}}
	made := mustTemplate(t, r, runnertest.LinuxGuest(t), s).(*template)
	for n := range spareAfter {
		if made.spareNow() != nil {
			t.Errorf("a spare after %d starts", n)
		}
		mustStart(t, made).Close()
	}
	awaitSpare(t, made)
	return made
}

func awaitSpare(t *testing.T, made *template) {
	t.Helper()
	if is, err := made.AwaitSpare(t.Context()); !is || err != nil {
		t.Fatalf("spare: %v, %v", is, err)
	}
}

// spareNow is the order under way.
func (t *template) spareNow() *order {
	t.reserve.mu.Lock()
	defer t.reserve.mu.Unlock()
	return t.reserve.next
}

// One template, for a cold boot takes seconds.
func TestSpares(t *testing.T) {
	requireQEMU(t)
	requireMemoryFiles(t)
	t.Parallel()
	made := withSpare(t, New(Config{}))
	for _, step := range []struct {
		name string
		run  func(*testing.T, *template)
	}{{"like others", testSpare}, {"quiet", testSpareIsQuiet}, {"died", testSpareThatDied}, {"for one", testSpareIsForOne}, {"ends", testSpareEnds}} {
		t.Run(step.name, func(t *testing.T) {
			awaitSpare(t, made)
			step.run(t, made)
		})
	}
}

// A spare is a clone like others, with its own clock, addresses and randomness.
func testSpare(t *testing.T, made *template) {
	before := time.Now()
	log := console.New(console.Options{})
	dir := t.TempDir()
	m, err := made.Start(t.Context(), runners.Start{Dir: dir, ConsoleLog: log, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f := m.Facts()
	if took := time.Since(before); f.StartTime > took || f.StartTime <= 0 || !f.Cloned || f.Template != made.Facts().BootID || f.BootID == f.Template {
		t.Errorf("facts %+v after %v", f, took)
	}
	if want := address(5, 0).String(); !slices.Equal(f.MACs, []string{want}) {
		t.Errorf("addresses %v: want the seed's, %s", f.MACs, want)
	}
	var macs []string
	var ns int64
	if err := m.Call(t.Context(), runnertest.MACs, nil, &macs); err != nil || !slices.Equal(macs, f.MACs) {
		t.Errorf("the guest has %v, %v", macs, err)
	}
	if err := m.Call(t.Context(), runnertest.Clock, nil, &ns); err != nil || time.Since(time.Unix(0, ns)).Abs() > 10*time.Second {
		t.Errorf("clock %v, %v", time.Unix(0, ns), err)
	}
	if err := m.Call(t.Context(), renewal.OpRest, nil, nil); err != nil {
		t.Error(err)
	}
	awaitSpare(t, made) // the next
	other := mustStart(t, made)
	if other.Facts().BootID == f.BootID || other.Facts().MACs[0] == f.MACs[0] {
		t.Errorf("two spares alike: %+v, %+v", other.Facts(), f)
	}
	var a, b []byte
	if err := errors.Join(m.Call(t.Context(), runnertest.Random, nil, &a), other.Call(t.Context(), runnertest.Random, nil, &b)); err != nil || slices.Equal(a, b) {
		t.Errorf("random %x and %x, %v", a, b, err)
	}
	if err := m.PowerOff(t.Context()); err != nil {
		t.Errorf("power off: %v; console %s", err, log.Tail(1000))
	}
}

// A spare has the lowest priority until it is asked for, and none of it after.
func testSpareIsQuiet(t *testing.T, made *template) {
	if !raises() {
		t.Skip("this process may not take the lowest priority back: it needs CAP_SYS_NICE, or ulimit -e 20")
	}
	before := policies(t, made.spareNow().made.machine)
	if len(before) < 3 || slices.ContainsFunc(before, func(p uint32) bool { return p != unix.SCHED_IDLE }) {
		t.Errorf("policies of a spare's threads: %v, want %d", before, unix.SCHED_IDLE)
	}
	after := policies(t, mustStart(t, made).(*machine))
	if len(after) < 3 || slices.Contains(after, unix.SCHED_IDLE) {
		t.Errorf("policies of a machine's threads: %v", after)
	}
}

// policies are those of QEMU's threads.
func policies(t *testing.T, m *machine) []uint32 {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", m.vm.proc.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var found []uint32
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(tid, 0); err == nil {
			found = append(found, attr.Policy)
		}
	}
	return found
}

// The spare ends with its template, also while it is being made.
func testSpareEnds(t *testing.T, made *template) {
	s := made.reserve.take(t.Context())
	if s == nil || !s.parked.Load() {
		t.Fatalf("spare %+v: want one that is stopped", s)
	}
	defer s.Close()
	made.reserve.refill(nil) // the next is under way
	o := made.spareNow()
	if err := made.Close(); err != nil {
		t.Error(err)
	}
	if again, ok := <-o.handed; ok || again != nil {
		t.Error("a spare outlived its template")
	}
	made.reserve.refill(nil)
	if made.spareNow() != nil {
		t.Error("a closed template makes a spare")
	}
	if _, err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A spare whose QEMU is gone is not handed out, and one is made on demand.
func testSpareThatDied(t *testing.T, made *template) {
	o := made.spareNow()
	if err := o.made.vm.proc.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	m := mustStart(t, made)
	if m.(*machine) == o.made.machine {
		t.Error("a dead spare was handed out")
	}
	awaitSpare(t, made)
	if next := mustStart(t, made); next.Facts().BootID == m.Facts().BootID {
		t.Error("two starts, one machine")
	}
}

// Of two that ask at once one has the spare, and both a machine of their own. One that
// gives up costs nobody anything but its spare.
func testSpareIsForOne(t *testing.T, made *template) {
	was := made.spareNow()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	request := func() runners.Start {
		return runners.Start{Dir: t.TempDir(), ConsoleLog: console.New(console.Options{})}
	}
	if _, err := made.Start(cancelled, request()); !errors.Is(err, context.Canceled) || made.spareNow() != was {
		t.Errorf("asked under a cancelled context: %v", err)
	}
	var both [2]runners.Machine
	var asks sync.WaitGroup
	for i := range both {
		asks.Go(func() { both[i] = mustStart(t, made) })
	}
	asks.Wait()
	if t.Failed() {
		return
	}
	if (both[0].(*machine) == was.made.machine) == (both[1].(*machine) == was.made.machine) {
		t.Error("the spare is neither's, or both's")
	}
	if a, b := both[0].Facts(), both[1].Facts(); a.BootID == b.BootID || a.MACs[0] == b.MACs[0] {
		t.Errorf("alike: %+v, %+v", a, b)
	}
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if m, err := made.Start(soon, request()); err == nil { // the next is being made, or was
		m.Close()
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked in a hurry: %v", err)
	}
	mustStart(t, made)
}

// A runner that is told to keeps none.
func TestNoSpare(t *testing.T) {
	requireQEMU(t)
	requireMemoryFiles(t)
	t.Parallel()
	made := mustTemplate(t, New(Config{NoSpare: true}), runnertest.LinuxGuest(t), spec(t)).(*template)
	for range spareAfter {
		mustStart(t, made).Close()
	}
	if is, err := made.AwaitSpare(t.Context()); is || err != nil || made.reserve != nil {
		t.Errorf("a spare is kept: %v, %v", is, err)
	}
}
