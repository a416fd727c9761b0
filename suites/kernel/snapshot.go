package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// zoneSuffix ends the sysctls that say how many items of a zone are in use. They
// are the way without a layout; kernels before FreeBSD 13 have only the stream.
const zoneSuffix = ".stats.current"

// gauges are what else TCP may leak. A kernel that lacks one leaves it out.
var gauges = []string{
	"net.inet.tcp.pcbcount", "net.inet.tcp.syncache.count", "net.inet.tcp.sack.globalholes",
	"net.inet.tcp.reass.cursegments", "net.inet.tcp.hostcache.count",
	"kern.ipc.numopensockets", "kern.openfiles", "vm.uma_kmem_total",
	"vm.stats.vm.v_wire_count", "vm.stats.vm.v_free_count",
}

// Snapshot reads all counters of a guest: about half a second under emulation.
// What the kernel does not offer has an empty source; any other error is the
// rig's, or the kernel's refusal.
func Snapshot(ctx context.Context, g suites.Guest) (State, error) {
	s := State{At: time.Now()}
	var err error
	switch g.OS() {
	case "freebsd":
		err = s.fromFreeBSD(ctx, g)
	case "linux":
		err = s.fromLinux(ctx, g)
	default:
		err = fmt.Errorf("counters of a kernel of OS %q are not known", g.OS())
	}
	return s, err
}

func (s *State) fromFreeBSD(ctx context.Context, g suites.Guest) error {
	layouts, err := LayoutsOf(g)
	if err != nil {
		return err
	}
	if s.Zones, err = zones(ctx, g, layouts); err != nil {
		return err
	}
	raw, err := Sysctl(ctx, g, "kern.malloc_stats")
	if err := s.malloc(raw, err, layouts); err != nil {
		return err
	}
	source := "net.inet.tcp.stats"
	if _, known := layouts["tcpstat"]; !known {
		source += " without a layout"
	}
	raw, err = Sysctl(ctx, g, "net.inet.tcp.stats")
	s.TCP, err = table(source, raw, err, func(b []byte) (Counters, error) { return DecodeTCPStats(b, layouts) })
	if err != nil {
		return err
	}
	raw, err = Sysctl(ctx, g, "net.inet.tcp.states")
	if s.TCPStates, err = table("net.inet.tcp.states", raw, err, DecodeTCPStates); err != nil {
		return err
	}
	s.Gauges, err = readGauges(ctx, g)
	return err
}

// zones prefers the sysctls of each zone to the stream of all.
func zones(ctx context.Context, g suites.Guest, layouts Layouts) (Table, error) {
	nodes, err := Sysctls(ctx, g, "vm.uma", zoneSuffix)
	if err != nil {
		return Table{}, err
	}
	if len(nodes) > 0 {
		c := Counters{}
		for _, node := range nodes {
			if n, ok := Number(node); ok {
				c[text([]byte(strings.TrimSuffix(strings.TrimPrefix(node.Name, "vm.uma."), zoneSuffix)))] = n
			}
		}
		return Table{"vm.uma.*" + zoneSuffix, c}, nil
	}
	raw, err := Sysctl(ctx, g, "vm.zone_stats")
	return table("vm.zone_stats", raw, err, func(b []byte) (Counters, error) {
		zones, err := DecodeZones(b, layouts)
		c := Counters{}
		for _, z := range zones {
			c[sysctlName(z.Name)] += z.InUse()
		}
		return c, err
	})
}

func (s *State) malloc(raw []byte, err error, layouts Layouts) error {
	count, size := Counters{}, Counters{}
	s.Malloc, err = table("kern.malloc_stats", raw, err, func(b []byte) (Counters, error) {
		types, err := DecodeMalloc(b, layouts)
		for _, t := range types {
			count[t.Name] += t.InUse()
			size[t.Name] += t.BytesInUse()
		}
		return count, err
	})
	s.MallocBytes = Table{s.Malloc.Source, size}
	return err
}

func readGauges(ctx context.Context, g suites.Guest) (Table, error) {
	var list guest.Sysctls
	if err := g.Call(ctx, guest.OpSysctls, guest.SysctlsArgs{Names: gauges}, &list); err != nil {
		return Table{}, err
	}
	c := Counters{}
	for _, node := range list.Nodes {
		if n, ok := Number(node); ok {
			c[text([]byte(node.Name))] = n
		}
	}
	return Table{"sysctl", c}, nil
}

func (s *State) fromLinux(ctx context.Context, g suites.Guest) error {
	raw, err := File(ctx, g, "/proc/slabinfo")
	if s.Zones, err = table("/proc/slabinfo", raw, err, ParseSlabinfo); err != nil {
		return err
	}
	raw, err = File(ctx, g, "/proc/net/snmp")
	if s.TCP, err = table("/proc/net/snmp", raw, err, ParseSNMP); err != nil {
		return err
	}
	raw, err = File(ctx, g, "/proc/net/netstat")
	more, err := table("/proc/net/netstat", raw, err, ParseSNMP)
	if err != nil {
		return err
	}
	s.TCP.join(more)
	maps.DeleteFunc(s.TCP.Counters, func(name string, _ int64) bool {
		return !strings.HasPrefix(name, "Tcp.") && !strings.HasPrefix(name, "TcpExt.")
	})
	raw, err = read(ctx, g, guest.OpPCBList, "")
	if s.TCPStates, err = table("/proc/net/tcp", raw, err, CountTCPStates); err != nil {
		return err
	}
	raw, err = File(ctx, g, "/proc/net/sockstat")
	if s.Gauges, err = table("/proc/net/sockstat", raw, err, ParseSockstat); err != nil {
		return err
	}
	raw, err = File(ctx, g, "/proc/net/sockstat6")
	if more, err = table("/proc/net/sockstat6", raw, err, ParseSockstat); err != nil {
		return err
	}
	s.Gauges.join(more)
	return nil
}

// table decodes what was read, or is empty where the kernel offers nothing.
func table(source string, raw []byte, err error, decode func([]byte) (Counters, error)) (Table, error) {
	if errors.Is(err, ErrAbsent) {
		return Table{}, nil
	}
	if err != nil {
		return Table{}, err
	}
	c, err := decode(raw)
	if err != nil {
		return Table{}, err
	}
	return Table{source, c}, nil
}

// join adds a second source's counters.
func (t *Table) join(more Table) {
	switch {
	case more.Source == "":
	case t.Source == "":
		*t = more
	default:
		t.Source += " and " + more.Source
		maps.Copy(t.Counters, more.Counters)
	}
}

// Number is the value of a sysctl that is one number: FreeBSD's by their kind,
// Linux's by their text.
func Number(s guest.Sysctl) (int64, bool) {
	b := s.Value
	if s.Refused != "" || len(b) != s.Size {
		return 0, false
	}
	if s.Kind == "string" {
		return parseNumber(b)
	}
	signed := s.Kind == "int" || s.Kind == "long" || strings.HasPrefix(s.Kind, "s")
	unsigned := s.Kind == "uint" || s.Kind == "ulong" || strings.HasPrefix(s.Kind, "u")
	var wide [8]byte
	switch len(b) {
	case 1, 2, 4, 8:
		copy(wide[:], b)
	default:
		return 0, false
	}
	unused := 64 - 8*len(b)
	n := binary.LittleEndian.Uint64(wide[:])
	switch {
	case signed:
		return int64(n<<unused) >> unused, true
	case unsigned:
		return int64(n), true
	}
	return 0, false
}
