package orchestrator

import (
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
)

func TestUnmet(t *testing.T) {
	tcg := offer{Accel: "tcg", SMP: 2, Links: links(pipeline.Machine{NICs: []pipeline.NIC{{Model: "e1000", Link: "user"}}})}
	kvm := offer{Accel: "kvm", SMP: 8, Links: []string{"user", "wire", "vfio"}, Flags: []string{"fpu", "pcid"}}
	old := offer{Accel: "kvm", SMP: 8, Flags: []string{"fpu"}}
	for _, c := range []struct {
		offer    offer
		requires string
		want     string // a part; empty: nothing is missing
	}{
		{tcg, "", ""},
		{tcg, "smp>=2", ""},
		{tcg, "smp>=3", "needs 3 virtual CPUs, the machine has 2"},
		{tcg, "smp>=2 kvm", "needs kvm, the machine is run by tcg"},
		{tcg, "pcid", "which tcg does not emulate"},
		{tcg, "wire", "needs a NIC on a wire"},
		{tcg, "real-nic", "needs a NIC of the host's"},
		{tcg, "smp>=x", `needs "smp>=x", which nobody knows`},
		{tcg, "moonlight", `needs "moonlight", which nobody knows`},
		{tcg, "virtual-time", "needs a virtual clock"},
		{offer{Accel: "tcg", Virtual: true}, "virtual-time", ""},
		{offer{Accel: "tcg", Virtual: true}, "", "the machine's clock is virtual"},
		{kvm, "kvm smp>=8 pcid wire real-nic", ""},
		{old, "pcid", "which the host's CPU does not have"},
	} {
		got := unmet(strings.Fields(c.requires), c.offer)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v, %q: %q, want %q", c.offer, c.requires, got, c.want)
		}
	}
}
