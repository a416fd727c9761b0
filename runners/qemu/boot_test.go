package qemu

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanKernel) != "" {
		bootAndHang()
	}
	goleak.VerifyTestMain(m)
}

func requireQEMU(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(DefaultBinary); err != nil {
		t.Skipf("%v: run make setup", err)
	}
}

// spec is a machine under emulation, whatever the host offers: these tests are
// about ends, and those differ between accelerators in nothing.
func spec(t *testing.T) runners.Spec {
	return runners.Spec{SMP: 2, Memory: 256, Accel: "tcg", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}), BootTimeout: 2 * time.Minute}
}

func mustBoot(t *testing.T, b runners.Bootable, s runners.Spec) *machine {
	t.Helper()
	m, err := New(Config{}).Boot(t.Context(), b, s)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, s.ConsoleLog.Tail(4096))
	}
	t.Cleanup(func() { m.Close() })
	return m.(*machine)
}

// mustNotBoot expects a boot to fail by the kernel's fault.
func mustNotBoot(t *testing.T, b runners.Bootable, s runners.Spec) *runners.BootError {
	t.Helper()
	m, err := New(Config{}).Boot(t.Context(), b, s)
	if err == nil {
		m.Close()
		t.Fatal("it booted")
	}
	fault, ok := errors.AsType[*runners.BootError](err)
	if !ok {
		t.Fatalf("%T %v: want a boot error\nconsole:\n%s", err, err, s.ConsoleLog.Tail(4096))
	}
	if entries, _ := os.ReadDir(s.Dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	return fault
}

func TestBootWithoutInit(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b := runnertest.LinuxGuest(t)
	b.Cmdline = "rdinit=/nonexistent"
	s := spec(t)
	err := mustNotBoot(t, b, s)
	if !strings.HasPrefix(err.Title, "Kernel panic - not syncing: VFS: Unable to mount root fs") || !strings.Contains(err.Reason, "guest-reset") {
		t.Errorf("%v", err)
	}
	if c := s.ConsoleLog.Crashes(); len(c) != 1 || !c[0].Fatal || !strings.Contains(c[0].Text, "Call Trace") {
		t.Errorf("crashes %+v", c)
	}
}

func TestBootOfAGuestThatNeverAnswers(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b := runnertest.LinuxGuest(t)
	b.Cmdline = runnertest.Silent
	s := spec(t)
	s.BootTimeout = 10 * time.Second // long enough for init to start on a busy host
	err := mustNotBoot(t, b, s)
	if !strings.HasPrefix(err.Title, "hang: "+console.Init.Title()) || !strings.HasPrefix(err.Reason, "no answer from the agent within") {
		t.Errorf("%v", err)
	}
}

func TestBootOfAnAgentThatDies(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b := runnertest.LinuxGuest(t)
	b.Cmdline = "headwatch.control=serial" // but the machine has no second UART
	_, err := New(Config{}).Boot(t.Context(), b, spec(t))
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), "agent died: panic: ") {
		t.Errorf("%T %v: want the rig's fault", err, err)
	}
}

func TestBootOfGarbage(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b := runnertest.LinuxGuest(t)
	kernel, err := os.ReadFile(b.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	b.Kernel = filepath.Join(t.TempDir(), "vmlinuz")

	// The kernel's own loader and a body of zeros: the CPU runs into nothing.
	clear(kernel[64<<10:])
	if err := os.WriteFile(b.Kernel, kernel, 0o644); err != nil {
		t.Fatal(err)
	}
	s := spec(t)
	if err := mustNotBoot(t, b, s); err.Title != "reset loop "+console.Loader.Where() || !strings.Contains(err.Reason, b.Kernel) {
		t.Errorf("%v\nconsole: %q", err, s.ConsoleLog.Tail(4096))
	}

	// No kernel at all: QEMU says so.
	if err := os.WriteFile(b.Kernel, []byte(strings.Repeat("garbage ", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{}).Boot(t.Context(), b, spec(t))
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), b.Kernel) {
		t.Errorf("%T %v: want QEMU's complaint as an infra error, with the file", err, err)
	}
}

func TestQEMUThatDoesNotStart(t *testing.T) {
	requireQEMU(t)
	b := runnertest.LinuxGuest(t)
	s := spec(t)
	s.ExtraArgs = []string{"-device", "flux-capacitor"}
	_, err := New(Config{}).Boot(t.Context(), b, s)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), "flux-capacitor") {
		t.Errorf("%T %v", err, err)
	}
	_, err = New(Config{Binary: "qemu-system-nonesuch"}).Boot(t.Context(), b, spec(t))
	infra, ok := errors.AsType[*runners.InfraError](err)
	if !ok || !strings.Contains(infra.Hint, "make setup") {
		t.Errorf("%T %v: want a hint", err, err)
	}
}

// The second UART works without virtio, and a folder may have a longer name
// than a socket's path can hold.
func TestSerialControlInALongFolder(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	s := spec(t)
	s.Control = "serial"
	s.Dir = filepath.Join(s.Dir, strings.Repeat("long", 38))
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := mustBoot(t, runnertest.LinuxGuest(t), s)
	text := strings.Repeat("x\x00\r\n\x03\x11", 2000) // what a terminal would eat
	var got string
	if err := m.Call(t.Context(), runnertest.Echo, text, &got); err != nil || got != text {
		t.Errorf("echo of %d bytes: %d bytes, %v", len(text), len(got), err)
	}
	if err := m.PowerOff(t.Context()); err != nil {
		t.Error(err)
	}
	if exit, err := m.Close(); exit != runners.ExitPowerOff || err != nil {
		t.Errorf("%v, %v", exit, err)
	}
}

func TestPanicUnderACall(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	s := spec(t)
	s.NICs = []runners.NIC{{Model: "virtio-net", Link: "user"}, {Model: "e1000e", Link: "user"}}
	m := mustBoot(t, runnertest.LinuxGuest(t), s)
	err := m.Call(t.Context(), runnertest.Panic, nil, nil)
	if words := runnertest.Refused(err); !strings.Contains(words, "sysrq") {
		t.Errorf("%v: want the panic, as the kernel's fault", err)
	}
	if err := m.PowerOff(t.Context()); runnertest.Refused(err) == "" {
		t.Errorf("power-off of a dead kernel: %v", err)
	}
	if exit, err := m.Close(); exit != runners.ExitGuest || err != nil {
		t.Errorf("%v, %v", exit, err)
	}
	if c := m.Crashes(); len(c) != 1 {
		t.Errorf("crashes %q", c)
	}
}

func TestQEMUDies(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	m := mustBoot(t, runnertest.LinuxGuest(t), spec(t))
	waiting := make(chan error)
	go func() { waiting <- m.Call(context.Background(), runnertest.Wait, nil, nil) }()
	if err := syscall.Kill(m.vm.proc.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rigsFault(t, <-waiting, "run qemu: it died without a word")
	if exit, err := m.Close(); exit != runners.ExitMonitor || err == nil {
		t.Errorf("%v, %v", exit, err)
	}
}

func rigsFault(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), want) {
		t.Errorf("%T %v: want the rig's fault, %q", err, err, want)
	}
}

// Who stops the CPUs behind our back is not the guest's kernel.
func TestCPUsAreStopped(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	m := mustBoot(t, runnertest.LinuxGuest(t), spec(t))
	waiting := make(chan error)
	go func() { waiting <- m.Call(t.Context(), runnertest.Wait, nil, nil) }()
	if err := m.vm.monitor.run(t.Context(), "stop"); err != nil {
		t.Fatal(err)
	}
	rigsFault(t, <-waiting, "it stopped the guest by itself (internal or I/O error)")
}

// A QEMU that is held up says nothing about its guest.
func TestQEMUIsHeldUp(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	r := New(Config{})
	r.silence = 4 * time.Second
	m, err := r.Boot(t.Context(), runnertest.LinuxGuest(t), spec(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := syscall.Kill(m.(*machine).vm.proc.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	rigsFault(t, m.Call(t.Context(), runnertest.Wait, nil, nil), "it answers neither for its guest nor for itself")
	if crashes := m.Crashes(); len(crashes) > 0 {
		t.Errorf("the kernel is accused: %v", crashes)
	}
}

// A reset without a word is the kernel's.
func TestResetUnderACall(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	m := mustBoot(t, runnertest.LinuxGuest(t), spec(t))
	err := m.Call(t.Context(), "test/reset", nil, nil)
	if words := runnertest.Refused(err); !strings.Contains(words, "guest ended by itself (guest-reset), and the console says nothing of it") {
		t.Errorf("%v", err)
	}
}
