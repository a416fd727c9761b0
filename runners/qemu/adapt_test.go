package qemu_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/guest/renewal"
	"github.com/headwatch/headwatch/runners/nic"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// The guest sets what its devices cannot tell it, before it is anybody's.
func TestNICSettings(t *testing.T) {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		t.Skipf("%v: run make setup", err)
	}
	t.Parallel()
	guest := runnertest.LinuxGuestOf(t, "generic", drivers...)
	boot := func(nics ...runners.NIC) (runners.Machine, error) {
		return qemu.New(qemu.Config{}).Boot(t.Context(), guest, runners.Spec{
			SMP: 1, Memory: 256, Accel: "tcg", NICs: nics, BootTimeout: 2 * time.Minute, Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
		})
	}
	m, err := boot(
		runners.NIC{Model: "e1000e", Link: nic.Wire, MTU: 4000, Checksum: "off"},
		runners.NIC{Model: "vmxnet3", Link: nic.Wire}, // which segments wrongly before QEMU 8.0
		runners.NIC{Model: "e1000", Link: nic.Wire, TSO: "off", LRO: "off"},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	macs := m.MACs()
	var all []struct {
		MAC string `json:"mac"`
		MTU int    `json:"mtu"`
	}
	if err := m.Call(t.Context(), "kernel/interfaces", struct{}{}, &all); err != nil {
		t.Fatal(err)
	}
	mtu := map[string]int{}
	for _, i := range all {
		mtu[i.MAC] = i.MTU
	}
	if mtu[macs[0]] != 4000 || mtu[macs[1]] != 1500 {
		t.Errorf("MTUs %v", mtu)
	}
	// Asking again for the same changes nothing.
	var answer renewal.Adapted
	args := renewal.Adapt{NICs: []renewal.Adaptation{
		{MAC: macs[0], MTU: 4000, Checksum: "off"}, {MAC: macs[1], TSO: "off"}, {MAC: macs[2], TSO: "off", LRO: "off"}, {MAC: "02:00:00:00:00:01", TSO: "off"},
	}}
	if err := m.Call(t.Context(), renewal.OpAdapt, args, &answer); err != nil {
		t.Fatal(err)
	}
	if p := strings.Join(answer.Problems, ""); p != "" || len(answer.Absent) != 4 || answer.Absent[0] || !answer.Absent[3] {
		t.Errorf("%+v", answer)
	}
	if err := m.Call(t.Context(), renewal.OpAdapt, renewal.Adapt{NICs: []renewal.Adaptation{{MAC: macs[0], TSO: "perhaps"}}}, nil); err == nil || !strings.Contains(err.Error(), "want on or off") {
		t.Errorf("tso perhaps: %v", err)
	}

	// rtl8139 merges nothing.
	if m, err := boot(runners.NIC{Model: "rtl8139", Link: nic.Wire, LRO: "on"}); err == nil {
		m.Close()
		t.Error("it booted")
	} else if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), "nic 0 (rtl8139): ") || !strings.Contains(err.Error(), "lro=on") {
		t.Errorf("%T %v", err, err)
	}
}
