package kernel

import (
	"fmt"
	"strconv"
	"strings"
)

// linuxStates are the states of include/net/tcp_states.h by number, in FreeBSD's
// words. NEW_SYN_RECV, 12, is shown as 3.
var linuxStates = map[int64]string{
	1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECEIVED", 4: "FIN_WAIT_1", 5: "FIN_WAIT_2", 6: "TIME_WAIT",
	7: "CLOSED", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING",
}

// ParseSlabinfo reads /proc/slabinfo, version 2.1: objects in use by cache. What
// CPUs hold back for themselves counts as used, so a kernel that is left alone
// still changes by some.
func ParseSlabinfo(b []byte) (Counters, error) {
	head, rest, _ := strings.Cut(string(b), "\n")
	if !strings.HasPrefix(head, "slabinfo - version: 2.") {
		return nil, fmt.Errorf("/proc/slabinfo begins with %q, want version 2", text([]byte(head[:min(len(head), 60)])))
	}
	c := Counters{}
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) < 3 {
			return nil, fmt.Errorf("/proc/slabinfo: line of %d fields", len(fields))
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/slabinfo: %s: active objects: %w", text([]byte(fields[0])), err)
		}
		c[text([]byte(fields[0]))] += n
	}
	return c, nil
}

// ParseSNMP reads /proc/net/snmp or /proc/net/netstat: pairs of lines, the names
// and the numbers of one protocol. Counters go by both: "Tcp.RetransSegs".
func ParseSNMP(b []byte) (Counters, error) {
	c := Counters{}
	var protocol string
	var names []string
	for line := range strings.Lines(string(b)) {
		head, rest, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("network counters: line without a protocol")
		}
		fields := strings.Fields(rest)
		if names == nil {
			protocol, names = head, fields
			continue
		}
		if head != protocol || len(fields) != len(names) {
			return nil, fmt.Errorf("network counters: %d names of %s, then %d numbers of %s", len(names), text([]byte(protocol)), len(fields), text([]byte(head)))
		}
		for i, field := range fields {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				// Counters are unsigned words; only a limit may be negative.
				u, uerr := strconv.ParseUint(field, 10, 64)
				if uerr != nil {
					return nil, fmt.Errorf("network counters: %w", err)
				}
				n = int64(u)
			}
			c[text([]byte(protocol+"."+names[i]))] = n
		}
		names = nil
	}
	if names != nil {
		return nil, fmt.Errorf("network counters: names of %s without numbers", text([]byte(protocol)))
	}
	return c, nil
}

// ParseSockstat reads /proc/net/sockstat or sockstat6: "TCP: inuse 5 orphan 0".
// Numbers go by protocol and name: "TCP.inuse".
func ParseSockstat(b []byte) (Counters, error) {
	c := Counters{}
	for line := range strings.Lines(string(b)) {
		head, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		for i := 0; i+1 < len(fields); i += 2 {
			n, err := strconv.ParseInt(fields[i+1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("sockstat: %s: %w", text([]byte(head)), err)
			}
			c[text([]byte(head+"."+fields[i]))] = n
		}
	}
	return c, nil
}

// CountTCPStates reads /proc/net/tcp, and tcp6 after it, and counts connections by
// state.
func CountTCPStates(b []byte) (Counters, error) {
	c := Counters{}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] == "sl" {
			continue
		}
		n, err := strconv.ParseInt(fields[3], 16, 16)
		if err != nil {
			return nil, fmt.Errorf("/proc/net/tcp: state: %w", err)
		}
		name, ok := linuxStates[n]
		if !ok {
			return nil, fmt.Errorf("/proc/net/tcp: unknown state %d", n)
		}
		c[name] += 1
	}
	return c, nil
}

// parseNumber reads a text that is one number.
func parseNumber(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimRight(string(b), "\x00\n\t "), 0, 64)
	return n, err == nil
}
