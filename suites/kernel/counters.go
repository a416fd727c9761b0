package kernel

import (
	"fmt"
	"strings"
	"time"
)

// Counters are numbers by name.
type Counters map[string]int64

// Diff is what changed since before: c minus before, without what stayed. A name
// that one side lacks counts as zero there: kernels make zones and types at their
// first use.
func (c Counters) Diff(before Counters) Counters {
	d := Counters{}
	for name, n := range c {
		if delta := n - before[name]; delta != 0 {
			d[name] = delta
		}
	}
	for name, n := range before {
		if _, ok := c[name]; !ok && n != 0 {
			d[name] = -n
		}
	}
	return d
}

// Table is counters with where they come from: the name of a sysctl or a file. An
// empty source means that the kernel offers nothing of the kind.
type Table struct {
	Source   string   `json:"source"`
	Counters Counters `json:"counters"`
}

// Diff compares two tables of the same source. Where the kernel offers none, the
// error wraps ErrAbsent: nothing was seen, which is not the same as no change.
func (t Table) Diff(before Table) (Counters, error) {
	switch {
	case t.Source == "" || before.Source == "":
		return nil, ErrAbsent
	case t.Source != before.Source:
		return nil, fmt.Errorf("counters of %s cannot be compared with those of %s", t.Source, before.Source)
	}
	return t.Counters.Diff(before.Counters), nil
}

// State is what a kernel said of itself within a short time. The tables are read
// one after the other, so they need not agree with each other on a busy guest.
type State struct {
	At time.Time `json:"at"` // by the host's clock, before the first one was read

	// Zones are the objects in use by cache: UMA zones; slab caches on Linux, where
	// objects in the caches of CPUs count as used.
	Zones Table `json:"zones"`
	// Malloc and MallocBytes are the allocations in use by malloc(9) type.
	Malloc      Table `json:"malloc"`
	MallocBytes Table `json:"malloc_bytes"`
	// TCP are events since the boot: members of struct tcpstat; on Linux
	// "Tcp.RetransSegs", "TcpExt.TCPTimeouts".
	TCP Table `json:"tcp"`
	// TCPStates are connections by state, in FreeBSD's words on both systems.
	TCPStates Table `json:"tcp_states"`
	// Gauges are other things in use, by the kernel's own names.
	Gauges Table `json:"gauges"`
}

// isPadding reports whether a member's name says that it means nothing.
func isPadding(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last == "" || strings.HasPrefix(last, "_") && !strings.HasPrefix(last, "__") ||
		strings.HasPrefix(last, "spare") || strings.HasPrefix(last, "pad") || strings.Contains(last, "_spare")
}
