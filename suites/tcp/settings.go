package tcp

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// Setting is a sysctl that the bed pins, so that what a case expects holds whatever a
// kernel's defaults are.
type Setting struct {
	Name, Value string
	Why         string // where it is defined, and what it would disturb
	Optional    bool   // kernels that lack it behave as if it had the value
}

// pinned are the settings of every bed, by OS.
func pinned(os string) []Setting {
	switch os {
	case "freebsd":
		return freeBSDSettings()
	case "linux":
		return linuxSettings()
	}
	return nil
}

// addressing are settings that make an address usable at once. FreeBSD has a flag for that,
// too, and does not look at it (IN6_IFF_NODAD): what connects in the next second has no
// address to do so from.
var addressing = map[string][]Setting{
	"freebsd": {{Name: "net.inet6.ip6.dad_count", Value: "0", Why: "netinet6/nd6_nbr.c, nd6_dad_start"}},
}

// freeBSDSettings have their places in sys/netinet; times are in milliseconds.
func freeBSDSettings() []Setting {
	return []Setting{
		{Name: "net.inet.tcp.cc.algorithm", Value: "newreno", Why: "cc/cc.c; cubic by default since 2022"},
		{Name: "net.inet.tcp.functions_default", Value: "freebsd", Why: "tcp_subr.c; rack has other timers"},
		{Name: "net.inet.tcp.hostcache.enable", Value: "0", Optional: true, Why: "tcp_hostcache.c; a connection would inherit another one's window and round-trip time"},
		{Name: "net.inet.tcp.msl", Value: "30000", Why: "tcp_timer.c; TIME_WAIT lasts twice as long"},
		{Name: "net.inet.tcp.delayed_ack", Value: "1", Why: "tcp_input.c"},
		{Name: "net.inet.tcp.delacktime", Value: "40", Why: "tcp_timer.c, TCPTV_DELACK"},
		{Name: "net.inet.tcp.sack.enable", Value: "1", Why: "tcp_sack.c"},
		{Name: "net.inet.tcp.rfc1323", Value: "1", Why: "tcp_subr.c; window scale and time stamps when both ends offer them"},
		{Name: "net.inet.tcp.rfc3042", Value: "1", Why: "tcp_input.c; limited transmit"},
		{Name: "net.inet.tcp.rfc3465", Value: "1", Why: "tcp_input.c; how fast slow start opens the window"},
		{Name: "net.inet.tcp.initcwnd_segments", Value: "10", Why: "tcp_input.c, RFC 6928"},
		{Name: "net.inet.tcp.ecn.enable", Value: "0", Why: "tcp_input.c; other options in SYNs"},
		{Name: "net.inet.tcp.rexmit_min", Value: "30", Why: "tcp_timer.c, TCPTV_MIN; the judge's profile has it"},
		{Name: "net.inet.tcp.rexmit_slop", Value: "200", Why: "tcp_timer.c, TCPTV_CPU_VAR; the same"},
		{Name: "net.inet.tcp.tso", Value: "0", Optional: true, Why: "tcp_output.c; QEMU before 8.0 makes IP fragments of it for e1000e and vmxnet3"},
		{Name: "net.inet.tcp.path_mtu_discovery", Value: "1", Why: "tcp_output.c"},
		{Name: "net.inet.tcp.always_keepalive", Value: "0", Why: "tcp_timer.c; nothing is sent that no case asks for"},
	}
}

// linuxSettings have their places in net/ipv4/sysctl_net_ipv4.c; see
// Documentation/networking/ip-sysctl.rst. They serve IPv6, too.
func linuxSettings() []Setting {
	return []Setting{
		{Name: "net.ipv4.tcp_congestion_control", Value: "reno", Why: "cubic by default"},
		{Name: "net.ipv4.tcp_no_metrics_save", Value: "1", Why: "a connection would inherit another one's window and round-trip time"},
		{Name: "net.ipv4.tcp_slow_start_after_idle", Value: "1", Why: "RFC 5681, section 4.1"},
		{Name: "net.ipv4.tcp_autocorking", Value: "0", Why: "short writes wait while the NIC's queue is not empty"},
		{Name: "net.ipv4.tcp_early_retrans", Value: "0", Why: "tail loss probes come after two round-trip times, which a busy host draws out"},
		{Name: "net.ipv4.tcp_recovery", Value: "1", Why: "RACK, RFC 8985"},
		{Name: "net.ipv4.tcp_sack", Value: "1", Why: "RFC 2018"},
		{Name: "net.ipv4.tcp_timestamps", Value: "1", Why: "RFC 7323, when both ends offer them"},
		{Name: "net.ipv4.tcp_window_scaling", Value: "1", Why: "the same"},
		{Name: "net.ipv4.tcp_ecn", Value: "0", Why: "other options in SYNs"},
		{Name: "net.ipv4.tcp_mtu_probing", Value: "0", Why: "segments larger than was agreed"},
	}
}

// override replaces settings by later ones of the same name.
func override(base, more []Setting) []Setting {
	out := append([]Setting(nil), base...)
next:
	for _, m := range more {
		for i := range out {
			if out[i].Name == m.Name {
				out[i] = m
				continue next
			}
		}
		out = append(out, m)
	}
	return out
}

// pin sets what is not so yet, and reads it back.
func pin(ctx context.Context, g suites.Guest, settings []Setting) error {
	now, err := readSettings(ctx, g, settings)
	if err != nil {
		return err
	}
	var changed []Setting
	for _, s := range settings {
		value, there := now[s.Name]
		switch {
		case !there && s.Optional, value == s.Value:
			continue
		case !there:
			return fmt.Errorf("setting %s: this kernel has none of that name", s.Name)
		}
		if err := kernel.SetSysctl(ctx, g, s.Name, s.Value); err != nil {
			return fmt.Errorf("setting %s=%s: %w", s.Name, s.Value, err)
		}
		changed = append(changed, s)
	}
	if len(changed) == 0 {
		return nil
	}
	if now, err = readSettings(ctx, g, changed); err != nil {
		return err
	}
	for _, s := range changed {
		if now[s.Name] != s.Value {
			return fmt.Errorf("setting %s=%s: it reads back as %q", s.Name, s.Value, now[s.Name])
		}
	}
	return nil
}

// readSettings gives the values of those that the kernel has, as text.
func readSettings(ctx context.Context, g suites.Guest, settings []Setting) (map[string]string, error) {
	var args guest.SysctlsArgs
	for _, s := range settings {
		args.Names = append(args.Names, s.Name)
	}
	var list guest.Sysctls
	if err := g.Call(ctx, guest.OpSysctls, args, &list); err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	values := map[string]string{}
	for _, node := range list.Nodes {
		if n, ok := kernel.Number(node); ok {
			values[node.Name] = strconv.FormatInt(n, 10)
		} else {
			values[node.Name] = strings.Join(strings.Fields(string(bytes.TrimRight(node.Value, "\x00"))), " ")
		}
	}
	return values, nil
}

// clockRate is FreeBSD's kern.hz, which its timers count in.
func clockRate(ctx context.Context, g suites.Guest) (int, error) {
	values, err := readSettings(ctx, g, []Setting{{Name: "kern.hz"}})
	if err != nil {
		return 0, err
	}
	hz, err := strconv.Atoi(values["kern.hz"])
	if err != nil || hz < 1 || hz > 1e6 {
		return 0, fmt.Errorf("kern.hz is %q, want a rate in 1/s", values["kern.hz"])
	}
	return hz, nil
}
