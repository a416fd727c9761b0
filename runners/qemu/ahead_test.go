package qemu_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// A guest with a time of its own sleeps longer than its host gives it, and the host's
// deadlines hold all the same.
func TestTimeRunsAhead(t *testing.T) {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		t.Skipf("%v: run make setup", err)
	}
	m, err := qemu.New(qemu.Config{}).Boot(t.Context(), runnertest.LinuxGuest(t), runners.Spec{
		SMP: 1, Memory: 256, Accel: "auto", Clock: "virtual", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const sleep, limit = 10 * time.Minute, 2 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var slept time.Duration
	if err := m.Call(ctx, "test/sleep", sleep, &slept); err != nil {
		t.Fatal(err)
	}
	if slept < sleep || slept > 2*sleep {
		t.Errorf("the guest slept %v, want %v", slept, sleep)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := m.Call(short, "test/sleep", 1000*time.Hour, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the host's deadline", err)
	}
	if err := m.Call(ctx, runnertest.Echo, "still there", nil); err != nil {
		t.Error(err)
	}
	if crashes := m.Crashes(); len(crashes) > 0 {
		t.Errorf("the console shows %v", crashes)
	}
}
