package qemu_test

import (
	"flag"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/runners/runnertest"
)

var record = flag.Bool("record", false, "write the recording that runnertest replays")

// A real QEMU keeps the contract, with clones that were made ahead and without, and
// what its machines answer is what the replayed ones do.
func TestConformance(t *testing.T) {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		t.Skipf("%v: run make setup", err)
	}
	guest := runnertest.LinuxGuest(t)
	rec := runnertest.NewRecorder(qemu.New(qemu.Config{NoSpare: true}))
	for name, r := range map[string]runners.Runner{"on demand": rec, "spares": qemu.New(qemu.Config{})} {
		t.Run(name, func(t *testing.T) {
			runnertest.Run(t, func(t *testing.T) (runners.Runner, runners.Bootable, runners.Spec) {
				return r, guest, runners.Spec{
					SMP: 2, Memory: 256, Accel: "auto", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
					NICs: []runners.NIC{{Model: "virtio-net", Link: "wire"}, {Model: "virtio-net", Link: "wire"}},
				}
			})
		})
	}
	const path = "../runnertest/testdata/linux.jsonl"
	if *record && !t.Failed() {
		if err := rec.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	fake, err := runnertest.LoadReplay(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range rec.Compare(fake) {
		t.Errorf("the recording differs from the machine: %s; see -record", d)
	}
}

// BenchmarkColdBoot is the time from power-on to the agent's first answer, with
// two virtual CPUs.
func BenchmarkColdBoot(b *testing.B) {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		b.Skipf("%v: run make setup", err)
	}
	guest, r := runnertest.LinuxGuest(b), qemu.New(qemu.Config{})
	var boots []time.Duration
	for b.Loop() {
		m, err := r.Boot(b.Context(), guest, runners.Spec{
			SMP: 2, Memory: 256, Accel: "auto", Dir: b.TempDir(), ConsoleLog: console.New(console.Options{}),
		})
		if err != nil {
			b.Fatal(err)
		}
		boots = append(boots, m.Facts().BootTime)
		if _, err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(boots)
	b.ReportMetric(boots[0].Seconds(), "fastest-s")
	b.ReportMetric(boots[len(boots)/2].Seconds(), "median-s")
}
