package orchestrator

import (
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
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
		{tcg, "line:uart", "needs a serial line uart"},
		{offer{Accel: "tcg", Lines: []string{"virtio", "uart"}}, "line:uart line:virtio", ""},
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

func TestFitting(t *testing.T) {
	machines := map[string]pipeline.Machine{
		"small": {SMP: 1}, "wired": {SMP: 1, NICs: []pipeline.NIC{{Link: "wire"}}}, "ahead": {SMP: 1, Clock: "virtual"},
	}
	asks := func(words ...string) (cases []suites.Case) {
		for _, w := range words {
			cases = append(cases, suites.Case{Requires: strings.Fields(w)})
		}
		return cases
	}
	for want, cases := range map[string][]suites.Case{
		"small": asks("", ""), "wired": asks("", "wire", "line:uart"), "ahead": asks("virtual-time", "smp>=9"),
	} {
		if got := Fitting(machines, cases); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Fitting(nil, asks("")); got != "" {
		t.Errorf("of no machines: %q", got)
	}
}
