package judge

import (
	"cmp"
	"fmt"
	"slices"
)

// Counter is the neutral name of a kernel's counter of its TCP. The caller maps its
// kernel's names to these, and gives differences over what the trace saw.
type Counter string

// The counters that the wire can check.
const (
	ResentSegments  Counter = "retransmitted_segments"
	ResentBytes     Counter = "retransmitted_bytes"
	Timeouts        Counter = "retransmission_timeouts"
	FastRetransmits Counter = "fast_retransmits" // recoveries entered by duplicate ACKs or SACK
	SACKSegments    Counter = "sack_retransmitted_segments"
	DupAcksHeard    Counter = "duplicate_acks_received"
	Probes          Counter = "window_probes"
	BadSums         Counter = "bad_checksums_received"
)

// Rule relates a counter of one kernel to what the wire saw.
type Rule struct {
	Of      []Reason // resends that it counts; empty: the counter is none of resends
	Slack   int64    // by how much it may differ
	Percent int64    // and by how much of what the wire saw, if that is more
	Source  string   // where the kernel counts it
}

var allResends = []Reason{Needless, RTO, GoBackN, FastRetransmit, SACKHole, PartialACK, Rescue, TLP, PathMTU}

// freeBSDCounters relates struct tcpstat (netinet/tcp_var.h) to the wire.
func freeBSDCounters() map[Counter]Rule {
	return map[Counter]Rule{
		// A SYN or FIN alone is tcps_sndctrl, a forced byte tcps_sndprobe.
		ResentSegments:  {Of: allResends, Slack: 1, Source: "tcp_output.c: tcps_sndrexmitpack"},
		ResentBytes:     {Of: allResends, Slack: 2, Source: "tcp_output.c: tcps_sndrexmitbyte"},
		Timeouts:        {Of: []Reason{RTO, SYN}, Slack: 0, Source: "tcp_timer.c: tcp_timer_rexmt, tcps_rexmttimeo"},
		FastRetransmits: {Of: []Reason{FastRetransmit}, Slack: 0, Source: "tcp_input.c: tcps_sack_recovery_episode"},
		SACKSegments:    {Of: []Reason{FastRetransmit, SACKHole, Rescue}, Slack: 1, Source: "tcp_output.c: tcps_sack_rexmits"},
		// It counts them also when nothing is outstanding, and old ones.
		DupAcksHeard: {Slack: 2, Percent: 10, Source: "tcp_input.c: tcps_rcvdupack"},
		Probes:       {Of: []Reason{Persist}, Slack: 0, Source: "tcp_output.c: tcps_sndprobe"},
		BadSums:      {Source: "tcp_input.c: tcps_rcvbadsum"},
	}
}

// linuxCounters relates /proc/net/snmp and /proc/net/netstat to the wire.
func linuxCounters() map[Counter]Rule {
	return map[Counter]Rule{
		ResentSegments:  {Of: append([]Reason{SYN, SYNACK}, allResends...), Source: "tcp_output.c: __tcp_retransmit_skb, RetransSegs"},
		Timeouts:        {Of: []Reason{RTO, SYN, SYNACK}, Source: "tcp_timer.c: TCPTimeouts"},
		FastRetransmits: {Of: []Reason{FastRetransmit}, Slack: 1, Percent: 20, Source: "tcp_input.c: TCPSackRecovery and TCPRenoRecovery"},
		Probes:          {Of: []Reason{Persist}, Slack: 1, Source: "tcp_output.c: TCPWinProbe"},
		BadSums:         {Source: "tcp_ipv4.c: InCsumErrors"},
	}
}

// Counted is what the wire saw of a counter, over all streams; ok is false when the
// profile has no rule for it.
func (a *Analysis) Counted(c Counter) (n int64, rule Rule, ok bool) {
	rule, ok = a.profile.Counters[c]
	for _, s := range a.Streams {
		for _, r := range rule.Of {
			if c == ResentBytes {
				n += s.Stats.ResentBytes[r]
			} else {
				n += int64(s.Stats.Resends[r])
			}
		}
		if c == DupAcksHeard {
			n += int64(s.Stats.DupAcks)
		}
	}
	if c == BadSums {
		n = int64(a.BadSums)
	}
	return n, rule, ok
}

// CheckCounters compares the kernel's own counters with the wire. Those that the
// profile has no rule for are passed over.
func (a *Analysis) CheckCounters(kernel map[Counter]int64) []Finding {
	var found []Finding
	for c, k := range kernel {
		n, rule, ok := a.Counted(c)
		if slack := max(rule.Slack, n*rule.Percent/100); ok && (k > n+slack || k < n-slack) {
			found = append(found, Finding{Code: CounterMismatch, At: a.End,
				Text: fmt.Sprintf("%s: the kernel counted %d, the wire saw %d, and they may differ by %d (%s)", c, k, n, slack, rule.Source)})
		}
	}
	slices.SortFunc(found, func(f, g Finding) int { return cmp.Compare(f.Text, g.Text) })
	return found
}
