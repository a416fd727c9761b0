package tcp

import (
	"context"
	"errors"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// kernelNames say which counters of a kernel are the judge's; several are added.
// FreeBSD's tcps_rcvdupack is not among them: it counts ACKs for which nothing is
// outstanding, too, such as those of connections that end.
func kernelNames(os string) map[judge.Counter][]string {
	switch os {
	case "freebsd": // struct tcpstat, netinet/tcp_var.h
		return map[judge.Counter][]string{
			judge.ResentSegments:  {"tcps_sndrexmitpack"},
			judge.ResentBytes:     {"tcps_sndrexmitbyte"},
			judge.Timeouts:        {"tcps_rexmttimeo"},
			judge.FastRetransmits: {"tcps_sack_recovery_episode"},
			judge.SACKSegments:    {"tcps_sack_rexmits"},
			judge.Probes:          {"tcps_sndprobe"},
			judge.BadSums:         {"tcps_rcvbadsum"},
		}
	case "linux": // /proc/net/snmp, /proc/net/netstat
		return map[judge.Counter][]string{
			judge.ResentSegments:  {"Tcp.RetransSegs"},
			judge.Timeouts:        {"TcpExt.TCPTimeouts"},
			judge.FastRetransmits: {"TcpExt.TCPSackRecovery", "TcpExt.TCPRenoRecovery"},
			judge.Probes:          {"TcpExt.TCPWinProbe"},
			judge.BadSums:         {"Tcp.InCsumErrors"},
		}
	}
	return nil
}

// tcpCounters reads what the kernel's TCP has counted since the boot, and nothing
// else: kernel.Snapshot takes half a second.
func tcpCounters(ctx context.Context, g suites.Guest) (kernel.Counters, error) {
	if g.OS() == "freebsd" {
		layouts, err := kernel.LayoutsOf(g)
		if err != nil {
			return nil, err
		}
		raw, err := kernel.Sysctl(ctx, g, "net.inet.tcp.stats")
		if err != nil {
			return nil, err
		}
		return kernel.DecodeTCPStats(raw, layouts)
	}
	all := kernel.Counters{}
	for _, path := range []string{"/proc/net/snmp", "/proc/net/netstat"} {
		raw, err := kernel.File(ctx, g, path)
		if err != nil {
			return nil, err
		}
		c, err := kernel.ParseSNMP(raw)
		if err != nil {
			return nil, err
		}
		for name, n := range c {
			all[name] = n
		}
	}
	return all, nil
}

// counted reads the counters; a kernel that offers none gives none.
func counted(ctx context.Context, g suites.Guest) (kernel.Counters, error) {
	c, err := tcpCounters(ctx, g)
	if errors.Is(err, kernel.ErrAbsent) {
		return nil, nil
	}
	return c, err
}

// neutral gives the difference by the judge's names. Counters of which the kernel
// lacks a part are left out: nothing was seen, which is not the same as no change.
func neutral(os string, before, after kernel.Counters) map[judge.Counter]int64 {
	out := map[judge.Counter]int64{}
next:
	for c, names := range kernelNames(os) {
		sum := int64(0)
		for _, name := range names {
			a, ok := after[name]
			b, was := before[name]
			if !ok || !was {
				continue next
			}
			sum += a - b
		}
		out[c] = sum
	}
	return out
}

// tcpStates counts connections by state.
func tcpStates(ctx context.Context, g suites.Guest) (kernel.Counters, error) {
	if g.OS() == "freebsd" {
		raw, err := kernel.Sysctl(ctx, g, "net.inet.tcp.states")
		if err != nil {
			return nil, err
		}
		return kernel.DecodeTCPStates(raw)
	}
	states := kernel.Counters{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, err := kernel.File(ctx, g, path)
		if errors.Is(err, kernel.ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := kernel.CountTCPStates(raw)
		if err != nil {
			return nil, err
		}
		for name, n := range c {
			states[name] += n
		}
	}
	return states, nil
}
