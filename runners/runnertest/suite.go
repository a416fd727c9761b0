// Package runnertest holds what every runners.Runner must do as one suite of
// tests, the guest that the suite needs, and a runner that replays a recorded
// session for tests that cannot have a machine. Only tests import it.
package runnertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Operations that the suite's guest offers.
const (
	Echo        = "test/echo"         // returns its arguments
	OpenMissing = "test/open_missing" // open(2) of a file that is not there
	Wait        = "test/wait"         // ends when it is cancelled
	Panic       = "test/panic"        // the kernel panics

	// What these answer is the machine's own and never the same twice.
	Random   = "test/random"   // 32 bytes of the kernel's random generator
	Clock    = "test/clock"    // the wall clock, in nanoseconds since 1970
	Remember = "test/remember" // keeps a text in memory and in a file; returns what it kept in both before
	MACs     = "test/macs"     // the addresses of the interfaces, but for the loopback
	Send     = "test/send"     // sends a frame of a text out of each of these
)

// its reports whether an operation's answer belongs to one machine alone.
func its(op string) bool { return slices.Contains([]string{Random, Clock, Remember, MACs, Send}, op) }

// WarnsAtBoot is a kernel argument of the suite's guest: before its agent answers,
// the console shows a warning of the kernel's whose title names atBoot.
const (
	WarnsAtBoot = "runnertest.warn"
	atBoot      = "warned_at_boot"
)

// More arguments of that kind: its first process never says a word to the host, or has
// the kernel reset the machine at once.
const (
	Silent = "runnertest.silent"
	Resets = "runnertest.resets"
)

// NewRunner makes a runner with an image that offers the suite's operations and
// a spec with a folder and a console of its own.
type NewRunner func(t *testing.T) (runners.Runner, runners.Bootable, runners.Spec)

// Run checks that a runner keeps the contract of package runners, with machines that
// are booted and with machines that are started from a template. It boots six.
func Run(t *testing.T, newRunner NewRunner) {
	t.Run("description", func(t *testing.T) { testDescription(t, newRunner) })
	t.Run("life", func(t *testing.T) { testLife(t, newRunner) })
	t.Run("two at once", func(t *testing.T) { testTwo(t, newRunner) })
	t.Run("boot is cancelled", func(t *testing.T) { testCancelledBoot(t, newRunner) })
	t.Run("life of a clone", func(t *testing.T) { testCloneLife(t, newRunner) })
	t.Run("siblings", func(t *testing.T) { testSiblings(t, newRunner) })
}

// quick bounds what must not take long, on a host that is busy.
const quick = 20 * time.Second

func boot(t *testing.T, newRunner NewRunner, args ...string) (runners.Machine, runners.Spec) {
	t.Helper()
	r, b, s := newRunner(t)
	b.Cmdline = strings.TrimSpace(b.Cmdline + " " + strings.Join(args, " "))
	if words := r.Command(b, s); words == "" || strings.HasPrefix(words, "#") {
		t.Errorf("command: %q", words)
	}
	m, err := r.Boot(t.Context(), b, s)
	if err != nil {
		t.Fatalf("boot: %v\nconsole:\n%s", err, s.ConsoleLog.Tail(4096))
	}
	t.Cleanup(func() { m.Close() })
	if m.OS() != b.Image.OS || m.CPUs() != s.SMP {
		t.Errorf("machine says %s with %d CPUs, want %s with %d", m.OS(), m.CPUs(), b.Image.OS, s.SMP)
	}
	return m, s
}

// testDescription asks a runner twice what it is.
func testDescription(t *testing.T, newRunner NewRunner) {
	r, _, _ := newRunner(t)
	first, err := r.Describe(t.Context())
	if err != nil || first == "" || strings.ContainsAny(first, "\r\n") {
		t.Errorf("description %q, %v; want one line", first, err)
	}
	if again, err := r.Describe(t.Context()); err != nil || again != first {
		t.Errorf("described as %q, and then as %q, %v", first, again, err)
	}
}

// testLife boots, works, powers off and looks for what is left.
func testLife(t *testing.T, newRunner NewRunner) {
	before := observe(t)
	m, s := boot(t, newRunner)
	f := m.Facts()
	if f.BootID == "" || f.Kernel == "" || f.Monitor == "" || f.BootTime <= 0 || f.Command == "" || f.Accel != "kvm" && f.Accel != "tcg" {
		t.Errorf("facts are not complete: %+v", f)
	}
	if f.Template != f.BootID || f.Cloned {
		t.Errorf("facts of a machine that was booted: %+v", f)
	}
	if said := s.ConsoleLog.Tail(1 << 20); !strings.Contains(said, "Linux version") && !strings.Contains(said, "FreeBSD") {
		t.Errorf("the console lacks the kernel's voice: %q", said)
	}
	checkLife(t, m)
	before.compare(t, s.Dir)
}

// checkLife has a machine work and power off.
func checkLife(t *testing.T, m runners.Machine) {
	t.Helper()
	if c := m.Crashes(); len(c) != 0 {
		t.Errorf("crashes of a healthy guest: %q", c)
	}
	checkCalls(t, m)
	checkConcurrentCalls(t, m)
	checkCancel(t, m)
	select {
	case <-m.Done():
		t.Fatal("done before the end")
	default:
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.PowerOff(ctx); err != nil {
		t.Fatalf("power off: %v", err)
	}
	checkOver(t, m, runners.ExitPowerOff)
}

func checkCalls(t *testing.T, m runners.Machine) {
	t.Helper()
	type message struct {
		Text string `json:"text"`
		N    int    `json:"n"`
	}
	var got message
	want := message{"grüß dich", 42}
	if err := m.Call(t.Context(), Echo, want, &got); err != nil || got != want {
		t.Errorf("echo: %+v, %v", got, err)
	}
	if err := m.Call(t.Context(), Echo, want, nil); err != nil {
		t.Errorf("echo, discarded: %v", err)
	}
	if err := m.Call(t.Context(), "test/no_such_operation", nil, nil); err == nil || Refused(err) != "" {
		t.Errorf("unknown operation: %v: want an error that is not the kernel's", err)
	}
	err := m.Call(t.Context(), OpenMissing, nil, nil)
	if words := Refused(err); !strings.Contains(words, "ENOENT") {
		t.Errorf("refusal: %v: want the kernel's, with ENOENT", err)
	}
}

func checkConcurrentCalls(t *testing.T, m runners.Machine) {
	t.Helper()
	var calls sync.WaitGroup
	for i := range 32 {
		calls.Go(func() {
			var got int
			if err := m.Call(t.Context(), Echo, i, &got); err != nil || got != i {
				t.Errorf("concurrent echo of %d: %d, %v", i, got, err)
			}
		})
	}
	calls.Wait()
}

func checkCancel(t *testing.T, m runners.Machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := m.Call(ctx, Wait, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call past its deadline: %v", err)
	}
	if took := time.Since(start); took > quick {
		t.Errorf("cancelling took %v", took)
	}
	var got string
	if err := m.Call(t.Context(), Echo, "still there", &got); err != nil || got != "still there" {
		t.Errorf("echo after a cancelled call: %q, %v", got, err)
	}
}

// checkOver checks a machine that has ended.
func checkOver(t *testing.T, m runners.Machine, want runners.Exit) {
	t.Helper()
	for range 2 {
		if exit, err := m.Close(); exit != want || err != nil {
			t.Errorf("close: %v, %v; want %v", exit, err, want)
		}
	}
	select {
	case <-m.Done():
	default:
		t.Error("closed, and not done")
	}
	start := time.Now()
	if err := m.Call(t.Context(), Echo, 1, nil); err == nil || Refused(err) != "" {
		t.Errorf("call after the end: %v: want an error that is not the kernel's", err)
	}
	if err := m.PowerOff(t.Context()); err == nil {
		t.Error("power-off after the end: no error")
	}
	if took := time.Since(start); took > quick {
		t.Errorf("calls after the end took %v", took)
	}
}

// testTwo boots two machines at once, one with a kernel that complains before the
// agent answers, and closes one under a call.
func testTwo(t *testing.T, newRunner NewRunner) {
	before := observe(t)
	var machines [2]runners.Machine
	var specs [2]runners.Spec
	var early [2][]string // crashes right after the boot
	var boots sync.WaitGroup
	for i, args := range [][]string{nil, {WarnsAtBoot}} {
		boots.Go(func() {
			machines[i], specs[i] = boot(t, newRunner, args...)
			early[i] = machines[i].Crashes()
		})
	}
	boots.Wait()
	if t.Failed() {
		return
	}
	if len(early[0]) != 0 || len(early[1]) != 1 || !strings.Contains(early[1][0], atBoot) {
		t.Errorf("crashes right after the boots: %q and %q, want none and the warning", early[0], early[1])
	}
	a, b := machines[0], machines[1]
	if a.Facts().BootID == b.Facts().BootID {
		t.Errorf("two boots have the id %s", a.Facts().BootID)
	}
	waiting := make(chan error)
	go func() { waiting <- a.Call(t.Context(), Wait, nil, nil) }()
	if exit, err := a.Close(); exit != runners.ExitKilled || err != nil {
		t.Errorf("close: %v, %v; want %v", exit, err, runners.ExitKilled)
	}
	select {
	case err := <-waiting:
		if err == nil || Refused(err) != "" {
			t.Errorf("call under way at close: %v: want an error that is not the kernel's", err)
		}
	case <-time.After(quick):
		t.Error("a call outlives its machine")
	}
	var got string
	if err := b.Call(t.Context(), Echo, "alone", &got); err != nil || got != "alone" {
		t.Errorf("the other machine: %q, %v", got, err)
	}
	checkOver(t, a, runners.ExitKilled)
	checkOver(t, b, runners.ExitKilled)
	before.compare(t, specs[0].Dir)
	before.compare(t, specs[1].Dir)
}

func testCancelledBoot(t *testing.T, newRunner NewRunner) {
	before := observe(t)
	r, b, s := newRunner(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, err := r.Boot(ctx, b, s)
	if err == nil {
		m.Close()
		t.Fatal("booted under a cancelled context")
	}
	if boot, ok := errors.AsType[*runners.BootError](err); ok {
		t.Errorf("a cancelled boot is the kernel's fault: %v", boot)
	}
	before.compare(t, s.Dir)
}

// Refused returns what the kernel refused, empty when err is not its refusal.
func Refused(err error) string {
	var refused interface{ KernelRefused() string }
	if errors.As(err, &refused) {
		return refused.KernelRefused()
	}
	return ""
}

// compact renders arguments for comparison.
func compact(args any) (string, error) {
	b, err := json.Marshal(args)
	if err != nil {
		return "", fmt.Errorf("arguments: %w", err)
	}
	return string(b), nil
}
