package pressure

import (
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spinner is a process that computes; its only thread has its id.
func spinner(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid
}

func affinity(t *testing.T, tid int) unix.CPUSet {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func niceOf(t *testing.T, tid int) int32 {
	t.Helper()
	attr, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return attr.Nice
}

func always(s Step) iter.Seq[Step] {
	return func(yield func(Step) bool) {
		for yield(s) {
		}
	}
}

// switches is how often a thread was made to give up its core.
func switches(t *testing.T, tid int) (n int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nnonvoluntary_ctxt_switches:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The victim is bound and preempted again and again; after Stop it runs where it
// ran and how it ran.
func TestPausesAndUndoes(t *testing.T) {
	tid := spinner(t)
	before, nice := affinity(t, tid), niceOf(t, tid)
	p, err := Apply([]int{tid}, always(Step{
		For: 20 * time.Millisecond, Cores: []int{0}, Victim: 0, Pause: 50 * time.Microsecond, Gap: 200 * time.Microsecond,
	}))
	if err != nil {
		t.Fatal(err)
	}
	const enough = 200
	deadline := time.Now().Add(10 * time.Second)
	start := switches(t, tid)
	for switches(t, tid)-start < enough {
		if time.Now().After(deadline) {
			t.Fatalf("%d pauses in 10 s, want %d", switches(t, tid)-start, enough)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if set := affinity(t, tid); set.Count() != 1 {
		t.Errorf("bound to %d cores", set.Count())
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil { // again
		t.Error(err)
	}
	if affinity(t, tid) != before || niceOf(t, tid) != nice {
		t.Errorf("left behind: %v and %d, before it was %v and %d", affinity(t, tid), niceOf(t, tid), before, nice)
	}
}

// Nothing is amiss when the threads end first.
func TestThreadsMayEnd(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Apply([]int{cmd.Process.Pid}, Plan(1, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestNoSuchThread(t *testing.T) {
	if _, err := Apply([]int{1 << 29}, Plan(1, 1, 2)); err == nil || !strings.Contains(err.Error(), "thread 536870912") {
		t.Errorf("%v", err)
	}
}

// The plan of every size runs on this host.
func TestPlanRuns(t *testing.T) {
	threads := []int{spinner(t), spinner(t), spinner(t)}
	n := 0
	p, err := Apply(threads, func(yield func(Step) bool) {
		for s := range Plan(3, len(threads), Cores()) {
			s.For = 2 * time.Millisecond
			if n++; n > 60 || !yield(s) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	if err := p.Stop(); err != nil || n <= 60 {
		t.Errorf("%d steps, %v", n, err)
	}
}
