package qemu

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// A guest that stops answering is asked why before it is ended, and what it says is a
// crash of kind hang.
func TestHang(t *testing.T) {
	requireQEMU(t)
	b := runnertest.LinuxGuest(t)
	r := New(Config{})
	r.silence = 4 * time.Second
	s := spec(t)
	m, err := r.Boot(t.Context(), b, s)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = m.Call(ctx, "test/hang", nil, nil)
	var refused interface{ KernelRefused() string }
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.KernelRefused(), "hang: no heartbeat") {
		t.Errorf("call into a guest that hangs: %v", err)
	}
	if exit, err := m.Close(); exit != runners.ExitKilled && exit != runners.ExitGuest || err != nil {
		t.Errorf("it ended as %v, %v", exit, err)
	}
	crashes := s.ConsoleLog.Crashes()
	if len(crashes) != 1 || crashes[0].Kind != runners.KindHang || !crashes[0].Fatal || !strings.Contains(crashes[0].Text, "the agent has been silent for ") {
		t.Fatalf("crashes: %+v\n%s", crashes, s.ConsoleLog.Tail(8192))
	}
	if text := crashes[0].Text; !strings.Contains(text, "NMI") && !strings.Contains(text, "cpu0 at 0x") {
		t.Errorf("neither the kernel's word nor its registers:\n%s", text)
	}
}

func TestWhereabouts(t *testing.T) {
	const text = "\r\nCPU#0\r\nRAX=0000000000000000 RBX=ffffffff82a1a940\r\nRIP=ffffffff81c0dd4e RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n" +
		"\r\nCPU#1\r\nRIP=ffffffff8112f3a0 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n" +
		"\r\nCPU#2\r\nRIP=0000000000401000 RFL=00000202 [-------] CPL=3 II=0 A20=1 SMM=0 HLT=0\r\n"
	const want = "cpu0 at 0xffffffff81c0dd4e, halted; cpu1 at 0xffffffff8112f3a0 with interrupts off; cpu2 at 0x0000000000401000 in user mode"
	if got := strings.Join(whereabouts(text), "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := whereabouts("no"); got != nil {
		t.Errorf("%q", got)
	}
}

func TestMostly(t *testing.T) {
	if got := mostly(map[string]int{"cpu0 at 0x2": 1, "cpu0 at 0x1": 3, "cpu0 at 0x3": 1}); got != "cpu0 at 0x1 (3 of 5)" {
		t.Error(got)
	}
	if got := mostly(map[string]int{"cpu0 at 0x2": 2, "cpu0 at 0x1": 2}); got != "cpu0 at 0x1 (2 of 4)" {
		t.Error(got)
	}
}
