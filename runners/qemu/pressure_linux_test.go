package qemu

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestParseThreads(t *testing.T) {
	for text, want := range map[string][]int{
		`{"return":[{"cpu-index":0,"thread-id":71,"target":"x86_64"},{"cpu-index":1,"thread-id":72}]}`: {71, 72},
		`{"return":[]}`:                             nil,
		`{"return":[{"cpu-index":0}]}`:              nil,
		`{"return":[{"thread-id":-1}]}`:             nil,
		`{"return":{}}`:                             nil,
		`{"error":{"class":"CommandNotFound"}}`:     nil,
		`{"return":[{"thread-id":1},{"thread-i":`:   nil,
		`{"return":[{"thread-id":"71"},{"x":"y"}]}`: nil,
	} {
		got, err := parseThreads([]byte(text))
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// Pressure works on a guest that goes on answering, is undone on stop, and may
// be stopped when QEMU is dead.
func TestPressure(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	m := mustBoot(t, runnertest.LinuxGuest(t), spec(t))
	threads, err := m.vm.monitor.threads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(threads) != 2 {
		t.Fatalf("threads %v of two virtual CPUs", threads)
	}
	before := make([]unix.SchedAttr, 2)
	where := make([]unix.CPUSet, 2)
	for i, tid := range threads {
		before[i], where[i] = how(t, tid)
	}
	for seed := range uint64(3) {
		stop, err := m.Pressure(t.Context(), seed)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := m.Call(t.Context(), runnertest.Echo, "x", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		for i, tid := range threads {
			if attr, set := how(t, tid); attr.Nice != before[i].Nice || attr.Policy != before[i].Policy || set != where[i] {
				t.Errorf("thread %d is left with %+v on %v", tid, attr, set)
			}
		}
	}
	stop, err := m.Pressure(t.Context(), 9)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(m.vm.proc.cmd.Process.Pid, syscall.SIGKILL)
	<-m.Done()
	if err := stop(); err != nil {
		t.Errorf("QEMU is gone: %v", err)
	}
	if _, err := m.Pressure(t.Context(), 10); err == nil {
		t.Error("a machine that is gone has threads")
	}
}

// how a thread is scheduled.
func how(t *testing.T, tid int) (unix.SchedAttr, unix.CPUSet) {
	t.Helper()
	attr, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		t.Fatal(err)
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		t.Fatal(err)
	}
	return *attr, set
}
