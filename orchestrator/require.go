package orchestrator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// offer is what a machine has for the cases that ask for more than any has.
type offer struct {
	Accel string // "kvm" or "tcg"
	SMP   int
	Links []string // of its NICs
	Lines []string // serial lines besides the console
	// Virtual says that its time runs ahead of the host's while it idles.
	Virtual bool
	Flags   []string // of the host's CPU, which runs the guest's instructions
}

// unmet says why a case cannot run on what is offered; empty: it can. The words are
//
//	kvm       the host's CPU runs the guest's instructions
//	smp>=N    virtual CPUs
//	pcid      address space identifiers of the CPU: the host's own; emulation has none
//	wire      a NIC whose cable is in our hands
//	real-nic  a NIC of the host's, passed through
//	line:L    a serial line besides the console, uart or virtio
//	virtual-time  a clock that runs ahead while the guest idles
//
// A machine with such a clock runs only the cases that ask for one: others take its
// time for the host's.
//
// A word that is not among them is never met: a case that asks for what nobody knows
// must not pass.
func unmet(requires []string, o offer) string {
	if o.Virtual && !slices.Contains(requires, "virtual-time") {
		return "the machine's clock is virtual, and the case does not ask for that"
	}
	for _, need := range requires {
		if why := o.lacks(need); why != "" {
			return why
		}
	}
	return ""
}

func (o offer) lacks(need string) string {
	if n, ok := strings.CutPrefix(need, "smp>="); ok {
		want, err := strconv.Atoi(n)
		switch {
		case err != nil:
			return fmt.Sprintf("needs %q, which nobody knows", need)
		case o.SMP < want:
			return fmt.Sprintf("needs %d virtual CPUs, the machine has %d", want, o.SMP)
		}
		return ""
	}
	if line, ok := strings.CutPrefix(need, "line:"); ok {
		if !slices.Contains(o.Lines, line) {
			return fmt.Sprintf("needs a serial line %s besides the console, the machine has none", line)
		}
		return ""
	}
	switch need {
	case "kvm":
		if o.Accel != "kvm" {
			return fmt.Sprintf("needs kvm, the machine is run by %s", o.Accel)
		}
	case "pcid":
		if o.Accel != "kvm" {
			return fmt.Sprintf("needs PCID, which %s does not emulate", o.Accel)
		}
		if !slices.Contains(o.Flags, "pcid") {
			return "needs PCID, which the host's CPU does not have"
		}
	case "wire":
		if !slices.Contains(o.Links, "wire") {
			return "needs a NIC on a wire, the machine has none"
		}
	case "virtual-time":
		if !o.Virtual {
			return "needs a virtual clock, the machine has the host's"
		}
	case "real-nic":
		if !slices.Contains(o.Links, "vfio") {
			return "needs a NIC of the host's, the machine has none"
		}
	default:
		return fmt.Sprintf("needs %q, which nobody knows", need)
	}
	return ""
}

// offered is what a booted machine has.
func offered(m pipeline.Machine, f runners.Facts) offer {
	return offer{Accel: f.Accel, SMP: m.SMP, Links: links(m), Lines: m.Lines, Flags: f.Flags, Virtual: m.Clock == "virtual"}
}

// links lists the links of a machine's NICs.
func links(m pipeline.Machine) (out []string) {
	for _, n := range m.NICs {
		out = append(out, n.Link)
	}
	return out
}

// able counts the cases that a machine can run, as far as can be told before it is
// booted.
func able(m pipeline.Machine, cases []suites.Case) (n int) {
	may := offered(m, runners.Facts{Accel: "kvm", Flags: []string{"pcid"}})
	for _, c := range cases {
		if unmet(c.Requires, may) == "" {
			n++
		}
	}
	return n
}

// Fitting names the machine that can run most of some cases, of equal ones the first by
// name; empty: there are no machines.
func Fitting(machines map[string]pipeline.Machine, cases []suites.Case) (best string) {
	most := -1
	for _, name := range slices.Sorted(maps.Keys(machines)) {
		if n := able(machines[name], cases); n > most {
			best, most = name, n
		}
	}
	return best
}
