package disk_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/disk"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/smoke"
)

// Where a FreeBSD kernel and its loader were built, and from what: these tests
// boot them.
const (
	objects = "HEADWATCH_FREEBSD_OBJ" // object folder, anywhere above sys/ and stand/
	sources = "HEADWATCH_FREEBSD_SRC" // source tree
)

// freebsd is a guest of a kernel that was built by hand.
func freebsd(t testing.TB) disk.Guest {
	t.Helper()
	obj, src := os.Getenv(objects), os.Getenv(sources)
	if obj == "" || src == "" {
		t.Skipf("%s and %s do not name a FreeBSD build", objects, sources)
	}
	g := disk.Guest{Arch: "amd64", Scripts: filepath.Join(src, "stand"), Commit: "0123456789abcdef"}
	var newest time.Time
	err := filepath.WalkDir(obj, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		switch {
		case e.Name() == "loader_lua.efi":
			g.Loader = path
		case e.Name() == "kernel" && filepath.Base(filepath.Dir(filepath.Dir(path))) == "sys":
			if st, err := e.Info(); err == nil && st.ModTime().After(newest) {
				g.Kernel, newest = path, st.ModTime()
			}
		}
		return nil
	})
	if err != nil || g.Kernel == "" || g.Loader == "" {
		t.Fatalf("%s=%s: kernel %q, loader %q, %v", objects, obj, g.Kernel, g.Loader, err)
	}
	agent := filepath.Join(t.TempDir(), "agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", agent, "github.com/headwatch/headwatch/cmd/headwatch-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=freebsd", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	if g.Agent, err = os.ReadFile(agent); err != nil {
		t.Fatal(err)
	}
	return g
}

// image writes the guest's disk.
func image(t testing.TB, g disk.Guest) runners.Bootable {
	t.Helper()
	d, err := g.Disk()
	if err != nil {
		t.Fatal(err)
	}
	b := runners.Bootable{Image: runners.Image{ID: "sha256:test", OS: "freebsd", Arch: g.Arch}, Disk: filepath.Join(t.TempDir(), "disk.img")}
	var log bytes.Buffer
	if err := disk.Write(t.Context(), b.Disk, d, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return b
}

func spec(t testing.TB, control string) runners.Spec {
	return runners.Spec{
		SMP: 2, Memory: 512, Accel: "auto", Control: control, Dir: t.TempDir(),
		ConsoleLog: console.New(console.Options{}), BootTimeout: 2 * time.Minute,
	}
}

func mustBoot(t testing.TB, b runners.Bootable, s runners.Spec) runners.Machine {
	t.Helper()
	m, err := qemu.New(qemu.Config{}).Boot(t.Context(), b, s)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, s.ConsoleLog.Tail(8192))
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// A FreeBSD kernel on a disk of ours boots to the agent and passes the smoke
// suite.
func TestFreeBSDPassesSmoke(t *testing.T) {
	b := image(t, freebsd(t))
	s := spec(t, "virtio")
	m := mustBoot(t, b, s)
	t.Logf("%s: %.2f s to the agent", m.Facts().Kernel, m.Facts().BootTime.Seconds())
	for _, c := range smoke.Suite().Cases {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
		status, reason := suites.Classify(c.Run(ctx, &suites.T{Guest: m, Rand: rand.New(rand.NewPCG(1, 2)), Metrics: map[string]float64{}}))
		cancel()
		t.Logf("%s: %v %s, %.2f s", c.Name, status, reason, time.Since(began).Seconds())
		if status != suites.Passed {
			t.Errorf("%s: %v %s", c.Name, status, reason)
		}
	}
	if exit, err := m.Close(); exit != runners.ExitPowerOff || err != nil {
		t.Errorf("%v, %v", exit, err)
	}
	said := s.ConsoleLog.Tail(1 << 20)
	for _, want := range []string{"FreeBSD/amd64 EFI loader", "Timecounters tick every 1.000 msec", "Trying to mount root from ufs:/dev/vtbd0p2 [ro]"} {
		if !strings.Contains(said, want) {
			t.Errorf("the console never said %q", want)
		}
	}
	for _, no := range []string{"can't find", "Failed to load", "WARNING: / was not properly dismounted", "malformed"} {
		if strings.Contains(said, no) {
			t.Errorf("the console said %q\n%s", no, said)
		}
	}
	if t.Failed() {
		t.Logf("console:\n%s", said)
	}
}

// Firmware has drivers for some NICs, and boots from the disk nevertheless.
func TestFreeBSDBootsBesideNICs(t *testing.T) {
	b, s := image(t, freebsd(t)), spec(t, "virtio")
	s.SMP = 1
	s.NICs = []runners.NIC{{Model: "virtio-net", Link: "user"}, {Model: "e1000e", Link: "user"}}
	m := mustBoot(t, b, s)
	t.Logf("%.2f s to the agent", m.Facts().BootTime.Seconds())
	if err := m.PowerOff(t.Context()); err != nil {
		t.Error(err)
	}
	if said := s.ConsoleLog.Tail(1 << 20); !strings.Contains(said, "vtnet0: <VirtIO Networking Adapter>") || strings.Contains(said, "PXE") {
		t.Errorf("no NIC, or a boot from it:\n%s", said)
	}
}

// A kernel that panics before its agent is up ends its machine and does not wait
// in the debugger.
func TestFreeBSDPanicsEarly(t *testing.T) {
	g := freebsd(t)
	g.Config = []byte(`{"modules": [], "sysctls": [["debug.kdb.panic", "1"]]}`)
	b, s := image(t, g), spec(t, "virtio")
	m, err := qemu.New(qemu.Config{}).Boot(t.Context(), b, s)
	if err == nil {
		m.Close()
		t.Fatal("it booted")
	}
	fault, ok := errors.AsType[*runners.BootError](err)
	if !ok || !strings.Contains(fault.Title, "panic") {
		t.Errorf("%T %v: want the panic\n%s", err, err, s.ConsoleLog.Tail(4096))
	}
	if strings.Contains(s.ConsoleLog.Tail(4096), "db>") {
		t.Errorf("it stopped in the debugger:\n%s", s.ConsoleLog.Tail(4096))
	}
}

// BenchmarkFreeBSDColdBoot is the time from power-on to the agent's first answer.
func BenchmarkFreeBSDColdBoot(b *testing.B) {
	guest := image(b, freebsd(b))
	var boots []time.Duration
	for b.Loop() {
		m := mustBoot(b, guest, spec(b, "virtio"))
		boots = append(boots, m.Facts().BootTime)
		if _, err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(boots)
	b.ReportMetric(boots[0].Seconds(), "fastest-s")
	b.ReportMetric(boots[len(boots)/2].Seconds(), "median-s")
}
