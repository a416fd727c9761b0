package qemu

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

func TestExitOf(t *testing.T) {
	off := ending{"SHUTDOWN", "guest-shutdown", true}
	reset := ending{"SHUTDOWN", "guest-reset", true}
	host := ending{"SHUTDOWN", "host-signal", false}
	for _, c := range []struct {
		end            ending
		marker, killed bool
		want           runners.Exit
	}{
		{off, true, false, runners.ExitPowerOff},
		{off, true, true, runners.ExitPowerOff}, // Close came while it was going
		{off, false, false, runners.ExitGuest},
		{reset, true, false, runners.ExitGuest},
		{reset, false, false, runners.ExitGuest},
		{ending{"GUEST_PANICKED", "", false}, true, false, runners.ExitGuest},
		{host, true, false, runners.ExitMonitor},
		{host, false, true, runners.ExitKilled},
		{ending{"STOP", "", false}, false, false, runners.ExitMonitor},
		{ending{}, true, true, runners.ExitKilled},
		{ending{}, true, false, runners.ExitMonitor}, // the marker alone is no power-off
		{ending{}, false, false, runners.ExitMonitor},
	} {
		if got := exitOf(c.end, c.marker, c.killed); got != c.want {
			t.Errorf("%+v, marker %v, killed %v: %v, want %v", c.end, c.marker, c.killed, got, c.want)
		}
	}
}

func refused(err error) bool {
	var r interface{ KernelRefused() string }
	return errors.As(err, &r)
}

func TestLoss(t *testing.T) {
	reset := ending{"SHUTDOWN", "guest-reset", true}
	for _, c := range []struct {
		a      aftermath
		want   string
		kernel bool
	}{
		{aftermath{exit: runners.ExitPowerOff}, "machine has powered off", false},
		{aftermath{exit: runners.ExitKilled}, "machine is closed", false},
		{aftermath{exit: runners.ExitGuest, end: reset, panic: "Kernel panic - not syncing: x"}, "Kernel panic - not syncing: x", true},
		{aftermath{exit: runners.ExitGuest, end: reset}, "guest ended by itself (guest-reset)", true},
		{aftermath{exit: runners.ExitGuest, end: reset, agent: "panic: nil", panic: "Kernel panic"}, "agent died: panic: nil", false},
		{aftermath{exit: runners.ExitGuest, end: reset, stall: "soft lockup"}, "too little CPU, and the kernel gave up: soft lockup", false},
		{aftermath{exit: runners.ExitGuest, end: reset, stall: "soft lockup", panic: "panic: x"}, "panic: x", true},
		{aftermath{exit: runners.ExitMonitor, complaint: "qemu: out of memory"}, "qemu: out of memory", false},
		{aftermath{exit: runners.ExitMonitor}, "died without a word", false},
		{aftermath{exit: runners.ExitKilled, over: &consoleFlood{1e9, time.Minute}}, "console flood: 1000000000 bytes within 1m0s", true},
		{aftermath{exit: runners.ExitKilled, over: &runners.InfraError{Op: "run qemu", Err: errors.New("its NIC 0 floods the wire")}}, "run qemu: its NIC 0 floods", false},
	} {
		err := c.a.loss()
		if !strings.Contains(err.Error(), c.want) || refused(err) != c.kernel {
			t.Errorf("%+v: %v (kernel's: %v)", c.a, err, refused(err))
		}
	}
}

func TestBootFailure(t *testing.T) {
	reset := ending{"SHUTDOWN", "guest-reset", true}
	for _, c := range []struct {
		a      aftermath
		why    string
		want   string // of a BootError; else of the rig's
		kernel bool
	}{
		{aftermath{exit: runners.ExitGuest, end: reset, panic: "panic: page fault"}, "", "panic: page fault: guest ended by itself (guest-reset) 2.5s after power-on, before the agent answered", true},
		{aftermath{exit: runners.ExitGuest, end: reset}, "", "reset in the boot loader: guest ended by itself", true},
		{aftermath{exit: runners.ExitKilled}, "nothing new for 60s", "stopped in the boot loader: nothing new for 60s, 2.5s after power-on", true},
		{aftermath{exit: runners.ExitMonitor, complaint: "boom"}, "", "run qemu: boom", false},
		{aftermath{exit: runners.ExitKilled, stream: errors.New("protocol 7")}, "", "boot: protocol 7", false},
		{aftermath{exit: runners.ExitGuest, end: reset, agent: "panic: nil"}, "", "agent died: panic: nil", false},
		{aftermath{exit: runners.ExitKilled, over: &consoleFlood{1e9, time.Second}}, "", "console flood: console flood: 1000000000 bytes within 1s; ended 2.5s after power-on", true},
		{aftermath{exit: runners.ExitKilled, over: &runners.InfraError{Op: "run qemu", Err: errors.New("wire")}}, "", "run qemu: wire", false},
		{aftermath{exit: runners.ExitGuest, end: reset, stall: "soft lockup"}, "", "run qemu: the host gave it too little CPU", false},
	} {
		err := c.a.bootFailure(console.Loader, 2500*time.Millisecond, c.why)
		_, kernel := errors.AsType[*runners.BootError](err)
		if !strings.Contains(err.Error(), c.want) || kernel != c.kernel {
			t.Errorf("%+v: %T %v", c.a, err, err)
		}
	}
}

func TestPulse(t *testing.T) {
	t0 := time.Unix(1000, 0)
	var p pulse
	for i, c := range []struct{ heard, now, starved, want int }{
		{0, 1, 0, 1},
		{0, 9, 0, 9},
		{10, 11, 5, 1},
		{10, 30, 17, 8}, // 20 s quiet, of which 12 were the host's fault
		{31, 31, 17, 0},
	} {
		at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
		if got := p.quiet(at(c.heard), at(c.now), time.Duration(c.starved)*time.Second); got != time.Duration(c.want)*time.Second {
			t.Errorf("step %d: %v, want %d s", i, got, c.want)
		}
	}
}

func TestLastBytes(t *testing.T) {
	l := lastBytes{max: 10}
	for i := range 100 {
		fmt.Fprintf(&l, "line %d\n", i)
	}
	if l.String() != "8\nline 99\n" {
		t.Errorf("kept %q", l.String())
	}
}
