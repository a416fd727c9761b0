package judge

import "time"

// Profile is how a TCP stack differs from others within what the RFCs allow. A zero
// field switches the check that needs it off, unless it says otherwise.
type Profile struct {
	Name string
	Tick time.Duration // 1/kern.hz, or what timers are rounded to

	// TimerLate is by which part of itself a timer may be late, by design.
	TimerLate float64

	// Reaction is how long the guest may need to know what the wire gave it, and to
	// say something that the wire can see. It is a property of the machine: long
	// under emulation.
	Reaction time.Duration
	// LateSlack is added to every latest moment.
	LateSlack time.Duration

	// The retransmission timer: min(RTOMax, max(RTOMin, SRTT+4*RTTVAR)*2^n + RTOSlop).
	RTOInitial time.Duration // before the first sample of the round-trip time
	RTOMin     time.Duration // before the slop
	RTOSlop    time.Duration // is added, and not doubled
	RTOMax     time.Duration
	BackoffMax int // doublings after which it stays; 0: no such end
	// Retries of data, SYN and SYN|ACK before the stack gives up.
	Retries, SYNRetries, SYNACKRetries int

	PersistMin, PersistMax time.Duration

	DupThresh int // duplicate ACKs that say that a segment is lost; 0: no fast retransmit is owed
	// FastDeadline is by when the lost segment must be on the wire after them.
	FastDeadline time.Duration
	TLP          bool // tail loss probes
	TLPMin       time.Duration
	RACK         bool // loss by time
	// Tail: it may probe with what it sent last when the scoreboard is empty.
	Rescue bool

	InitialWindow int // segments
	// RestartWindow is how many segments may be sent after a timeout before
	// anything is acknowledged.
	RestartWindow int

	DelayedAck time.Duration // latest ACK of data in order
	AckEvery   int           // full segments that may wait for one ACK, and one more makes it due
	// AckLimit is how many equal ACKs in a second may answer nothing.
	AckLimit int

	// Counters are the kernel's, by neutral name, and how they relate to the wire.
	Counters map[Counter]Rule
}

// FreeBSD is the base stack ("freebsd") of 14-CURRENT of July 2022. hz is kern.hz: 100
// in a virtual machine unless loader.conf says otherwise (sys/kern/subr_param.c,
// HZ_VM).
func FreeBSD(hz int) Profile {
	if hz <= 0 {
		hz = 100
	}
	tick := time.Second / time.Duration(hz)
	return Profile{
		Name: "freebsd", Tick: tick,
		TimerLate: .05, // kern/kern_tc.c: kern.timecounter.alloweddeviation, in percent
		Reaction:  10 * time.Millisecond, LateSlack: 100*time.Millisecond + 3*tick,
		RTOInitial: time.Second,                 // netinet/tcp_timer.h: TCPTV_RTOBASE
		RTOMin:     time.Duration(hz/33) * tick, // tcp_timer.h: TCPTV_MIN, hz/33 in whole ticks
		RTOSlop:    time.Duration(hz/5) * tick,  // tcp_timer.h: TCPTV_CPU_VAR, by TCPT_RANGESET
		RTOMax:     64 * time.Second,            // tcp_timer.h: TCPTV_REXMTMAX
		BackoffMax: 9,                           // tcp_timer.c: tcp_backoff ends with 512
		Retries:    12,                          // tcp_timer.h: TCP_MAXRXTSHIFT
		SYNRetries: 12, SYNACKRetries: 3,        // tcp_timer.c: tcp_timer_rexmt; tcp_syncache.c: SYNCACHE_MAXREXMTS
		PersistMin: 5 * time.Second, PersistMax: 60 * time.Second, // tcp_timer.h: TCPTV_PERSMIN, TCPTV_PERSMAX
		DupThresh:    3, // tcp_input.c: tcprexmtthresh
		FastDeadline: 20 * time.Millisecond,
		Rescue:       true, // tcp_sack.c: tcp_sack_partialack, net.inet.tcp.rfc6675_pipe / newsack
		// tcp_input.c: tcp_initcwnd_segments, tcp_compute_initwnd.
		InitialWindow: 10,
		// cc/cc_newreno.c: CC_RTO sets cwnd to one segment; a second one is the
		// rounding of a first segment that was not full.
		RestartWindow: 2,
		DelayedAck:    40 * time.Millisecond, // tcp_timer.h: TCPTV_DELACK, hz/25
		AckEvery:      1,                     // tcp_input.c: DELAY_ACK, no delay while the timer runs
		AckLimit:      10,
		Counters:      freeBSDCounters(),
	}
}

// FreeBSDRACK is the stack "rack" (sys/netinet/tcp_stacks/rack.c) of the same tree. Its
// timers run on the high-precision timer system in microseconds.
func FreeBSDRACK(hz int) Profile {
	p := FreeBSD(hz)
	p.Name = "freebsd-rack"
	p.RTOMin, p.RTOSlop = 30*time.Millisecond, 200*time.Millisecond          // rack_rto_min; tcp_rexmit_slop
	p.RTOMax = 4 * time.Second                                               // rack_rto_max
	p.PersistMin, p.PersistMax = 250*time.Millisecond, 2000*time.Millisecond // rack_persist_min, rack_persist_max
	p.TLP, p.TLPMin = true, 10*time.Millisecond                              // rack_tlp_min
	p.RACK, p.Rescue = true, false
	p.RestartWindow = 3                  // rack_cc_conn_init, and a probe
	p.InitialWindow = 10                 // rack_default_init_window 0: the system's
	p.DelayedAck = 40 * time.Millisecond // rack_delayed_ack_time
	return p
}

// Linux is Linux 6.1 with its defaults (net/ipv4, include/net/tcp.h).
func Linux() Profile {
	return Profile{
		Name: "linux", Tick: 4 * time.Millisecond, // CONFIG_HZ=250, Debian
		TimerLate: .125, // kernel/time/timer.c: the wheel's levels have eight steps
		Reaction:  10 * time.Millisecond, LateSlack: 120 * time.Millisecond,
		RTOInitial: time.Second,            // TCP_TIMEOUT_INIT
		RTOMin:     200 * time.Millisecond, // TCP_RTO_MIN; tcp_set_rto adds it to SRTT: never below
		RTOMax:     120 * time.Second,      // TCP_RTO_MAX
		Retries:    15,                     // net.ipv4.tcp_retries2
		SYNRetries: 6, SYNACKRetries: 5,    // tcp_syn_retries, tcp_synack_retries
		// tcp_probe0_base, tcp_probe0_when: the RTO, doubled up to TCP_RTO_MAX.
		PersistMin: 200 * time.Millisecond, PersistMax: 120 * time.Second,
		DupThresh:    3, // net.ipv4.tcp_reordering
		FastDeadline: 20 * time.Millisecond,
		TLP:          true, TLPMin: 2 * time.Millisecond, // net.ipv4.tcp_early_retrans=3; tcp_schedule_loss_probe, TCP_TIMEOUT_MIN
		RACK:          true,                   // net.ipv4.tcp_recovery=1
		InitialWindow: 10,                     // TCP_INIT_CWND
		RestartWindow: 3,                      // F-RTO sends two new segments after the first ACK (RFC 5682)
		DelayedAck:    200 * time.Millisecond, // TCP_DELACK_MAX
		AckEvery:      2,                      // __tcp_ack_snd_check: more than one full frame, and room for the reader to be woken
		AckLimit:      10,
		Counters:      linuxCounters(),
	}
}

// Netstack is gVisor's stack (pkg/tcpip/transport/tcp), which the wire's peer is made
// of and the tests judge as if it were a guest.
func Netstack() Profile {
	return Profile{
		Name: "netstack", Tick: time.Millisecond,
		Reaction: 20 * time.Millisecond, LateSlack: 100 * time.Millisecond,
		RTOInitial: time.Second,            // snd.go: InitialRTO
		RTOMin:     200 * time.Millisecond, // snd.go: MinRTO
		RTOMax:     120 * time.Second,      // snd.go: MaxRTO
		Retries:    15,                     // snd.go: MaxRetries
		SYNRetries: 6, SYNACKRetries: 6,    // tcpip.TCPSynRetriesOption: 6
		PersistMin: 200 * time.Millisecond, PersistMax: 120 * time.Second,
		DupThresh:    3, // snd.go: nDupAckThreshold
		FastDeadline: 30 * time.Millisecond,
		TLP:          true, TLPMin: 2 * time.Millisecond, // rack.go: schedulePTO
		RACK: true, Rescue: true,
		InitialWindow: 10, // snd.go: InitialCwnd
		RestartWindow: 3,
		DelayedAck:    100 * time.Millisecond, // rcv.go does not delay; endpoints batch
		AckEvery:      4, AckLimit: 10,
	}
}
