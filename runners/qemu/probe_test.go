package qemu

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestProbe(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	start := time.Now()
	accel, detail := r.Probe(t.Context())
	took := time.Since(start)
	t.Logf("%s: %s (%v)", accel, detail, took)
	if accel != "kvm" && accel != "tcg" || detail == "" || took > 4*probeTime {
		t.Errorf("%q, %q after %v", accel, detail, took)
	}
	start = time.Now()
	if again, _ := r.Probe(t.Context()); again != accel || time.Since(start) > probeTime/2 {
		t.Errorf("asked again: %q after %v", again, time.Since(start))
	}
}

// The probe's code must reach its end where code does run: under emulation.
func TestProbeFirmwareEnds(t *testing.T) {
	requireQEMU(t)
	binary, err := New(Config{}).binary()
	if err != nil {
		t.Fatal(err)
	}
	if err := runProbe(t.Context(), binary, "tcg"); err != nil {
		t.Error(err)
	}
}

func TestAbout(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	if v, err := r.Version(t.Context()); err != nil || v == "" {
		t.Errorf("version %q, %v", v, err)
	}
	if d, err := r.Devices(t.Context()); err != nil || !slices.Contains(d, "virtio-net") || !slices.Contains(d, "e1000") {
		t.Errorf("devices %v, %v", d, err)
	}
}

// A command for a person boots the machine when a shell runs it.
func TestCommandWorksWhenPasted(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b := runnertest.LinuxGuest(t)
	b.Cmdline = "rdinit=/nonexistent 'quoted'"
	s := spec(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+New(Config{}).Command(b, s))
	out, err := cmd.CombinedOutput() // it ends with the kernel's panic
	if err != nil || !strings.Contains(string(out), "Kernel panic - not syncing") {
		t.Errorf("%v\n%s", err, out)
	}
}

// orphanKernel, in the environment, makes the test binary boot a machine and
// then do nothing: see TestNoQEMUOutlivesItsParent.
const orphanKernel = "HEADWATCH_TEST_ORPHAN"

func bootAndHang() {
	part := strings.Split(os.Getenv(orphanKernel), "\n")
	b := runners.Bootable{Image: runners.Image{OS: "linux", Arch: "amd64"}, Kernel: part[0], Initrd: part[1]}
	s := runners.Spec{SMP: 1, Memory: 128, Accel: "tcg", Dir: part[2], ConsoleLog: console.New(console.Options{})}
	o, err := New(Config{}).options(context.Background(), &b, s)
	if err == nil {
		var v *vm
		if v, err = startVM(context.Background(), o, s.Dir, s.ConsoleLog); err == nil {
			fmt.Println(v.proc.cmd.Process.Pid)
			select {}
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestNoQEMUOutlivesItsParent(t *testing.T) {
	requireQEMU(t)
	b := runnertest.LinuxGuest(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), orphanKernel+"="+b.Kernel+"\n"+b.Initrd+"\n"+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("no machine: %s", line)
	}
	qemu, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(qemu)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait() // it was killed; that is all it can say
	gone, err := unix.Poll([]unix.PollFd{{Fd: int32(qemu), Events: unix.POLLIN}}, 10_000)
	if err != nil || gone != 1 {
		syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("QEMU runs on without its parent (%v)", err)
	}
}
