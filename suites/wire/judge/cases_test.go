package judge

import "time"

// sackRecovery loses segment 1 of 6; SACK says so, and it is sent again.
var sackRecovery = open + burst(0.1, 0, 6, 1) + `
0.1200 < . 1:1 ack 1461 win 1000
0.1205 < . 1:1 ack 1461 win 1000 sack 2921:4381
0.1210 < . 1:1 ack 1461 win 1000 sack 2921:5841
0.1215 < . 1:1 ack 1461 win 1000 sack 2921:7301
0.1220 > . 1461:2921 ack 1 win 1000
0.1225 < . 1:1 ack 1461 win 1000 sack 2921:8761
0.1420 < . 1:1 ack 8761 win 1000
`

// renoRecovery loses segments 1 and 3 of 8 on a stream without SACK.
var renoRecovery = plain + wide(burst(0.1, 0, 8, 1, 3)) + `
0.1200 < . 1:1 ack 1461 win 65000
0.1205 < . 1:1 ack 1461 win 65000
0.1210 < . 1:1 ack 1461 win 65000
0.1215 < . 1:1 ack 1461 win 65000
0.1220 > . 1461:2921 ack 1 win 65000
0.1225 < . 1:1 ack 1461 win 65000
0.1420 < . 1:1 ack 4381 win 65000
0.1425 > . 4381:5841 ack 1 win 65000
0.1620 < . 1:1 ack 11681 win 65000
`

// timeouts loses a segment three times; the timer doubles (200 ms are the slop).
var timeouts = open + `
0.100 > . 1:1461 ack 1 win 1000
0.120 < . 1:1 ack 1461 win 1000
0.200 > . 1461:2921 ack 1 win 1000 lost
0.450 > . 1461:2921 ack 1 win 1000 lost
0.750 > . 1461:2921 ack 1 win 1000 lost
1.150 > . 1461:2921 ack 1 win 1000
1.170 < . 1:1 ack 2921 win 1000
`

// goBack loses everything but the first segment: a timeout, then slow start.
var goBack = open + `
0.100 > . 1:1461 ack 1 win 1000
0.120 < . 1:1 ack 1461 win 1000
` + burst(0.2, 1, 4, 1, 2, 3, 4) + `
0.450 > . 1461:2921 ack 1 win 1000
0.470 < . 1:1 ack 2921 win 1000
0.471 > . 2921:4381 ack 1 win 1000
0.472 > . 4381:5841 ack 1 win 1000
0.491 < . 1:1 ack 4381 win 1000
0.492 < . 1:1 ack 5841 win 1000
0.493 > . 5841:7301 ack 1 win 1000
0.513 < . 1:1 ack 7301 win 1000
`

// persist has a window that closes, is probed twice and opens.
var persist = plain + `
0.100 > .  1:1461 ack 1 win 65000
0.120 <  . 1:1 ack 1461 win 0
5.220 > .  1461:1462 ack 1 win 65000
5.240 <  . 1:1 ack 1461 win 0
10.42 > .  1461:1462 ack 1 win 65000
10.44 <  . 1:1 ack 1461 win 0
11.00 <  . 1:1 ack 1461 win 65000
11.01 > .  1461:2921 ack 1 win 65000
11.03 <  . 1:1 ack 2921 win 65000
`

// receiving has the guest take data, out of order once.
var receiving = open + `
0.100 < . 1:1461    ack 1 win 1000
0.101 < . 1461:2921 ack 1 win 1000
0.102 > . 1:1 ack 2921 win 954
0.103 < . 4381:5841 ack 1 win 1000
0.104 > . 1:1 ack 2921 win 954 sack 4381:5841
0.110 < . 2921:4381 ack 1 win 1000
0.111 > . 1:1 ack 5841 win 909
0.200 < P. 5841:5900 ack 1 win 1000
0.240 > . 1:1 ack 5900 win 908
`

// stamped is a stream with time stamps.
const stamped = `
0     > S  0:1         win 65535 mss 1460 sackOK wscale 6 ts 1000:0
0.020 < S. 0:1 ack 1   win 65535 mss 1460 sackOK wscale 6 ts 500:1000
0.021 > .  1:1 ack 1   win 1000 ts 1021:500
0.100 > P. 1:101 ack 1 win 1000 ts 1100:500
0.120 < .  1:1 ack 101 win 1000 ts 620:1100
`

func findingCases() []findingCase {
	netstack := Netstack()
	return []findingCase{
		{code: NeedlessResend, name: "nothing says so", not: sackRecovery,
			has: open + burst(0.1, 0, 2) + "0.130 > . 1:1461 ack 1 win 1000\n0.131 < . 1:1 ack 2921 win 1000"},
		{code: NeedlessResend, name: "a clean wire", noResend: true, not: open + burst(0.1, 0, 2) + "0.12 < . 1:1 ack 2921 win 1000",
			has: timeouts},
		{code: ResentTwice, name: "of one recovery", not: sackRecovery,
			has: open + burst(0.1, 0, 6, 1) + `
0.1205 < . 1:1 ack 1461 win 1000 sack 2921:4381
0.1210 < . 1:1 ack 1461 win 1000 sack 2921:5841
0.1215 < . 1:1 ack 1461 win 1000 sack 2921:7301
0.1220 > . 1461:2921 ack 1 win 1000
0.1225 < . 1:1 ack 1461 win 1000 sack 2921:8761
0.1230 > . 1461:2921 ack 1 win 1000
0.1420 < . 1:1 ack 8761 win 1000`},
		{code: ResentTwice, name: "after a timeout", not: goBack,
			has: goBack[:len(goBack)-len("0.513 < . 1:1 ack 7301 win 1000\n")] + "0.500 > . 5841:7301 ack 1 win 1000\n0.513 < . 1:1 ack 7301 win 1000"},
		{code: AckedResent, name: "data", not: open + burst(0.1, 0, 1) + "0.130 < . 1:1 ack 1461 win 1000\n0.131 > . 1460:1461 ack 1 win 1000",
			has: open + burst(0.1, 0, 1) + "0.130 < . 1:1 ack 1461 win 1000\n0.400 > . 1:1461 ack 1 win 1000"},
		{code: AckedResent, name: "a crossing ACK", not: open + burst(0.1, 0, 1) + "0.338 < . 1:1 ack 1461 win 1000\n0.340 > . 1:1461 ack 1 win 1000",
			has: open + burst(0.1, 0, 1) + "0.320 < . 1:1 ack 1461 win 1000\n0.340 > . 1:1461 ack 1 win 1000"},
		{code: AckedResent, name: "behind ACKs that came late", not: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 4) + "0.450 > . 1461:2921 ack 1 win 1000\n0.4501 < . 1:1 ack 2921 win 1000\n0.4502 < . 1:1 ack 7301 win 1000\n" + "0.4530 > . 2921:4381 ack 1 win 1000\n0.4535 > . 4381:5841 ack 1 win 1000",
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 4) + "0.450 > . 1461:2921 ack 1 win 1000\n0.4501 < . 1:1 ack 2921 win 1000\n0.4502 < . 1:1 ack 7301 win 1000\n" + "0.4700 > . 2921:4381 ack 1 win 1000\n0.4705 > . 4381:5841 ack 1 win 1000"},
		{code: SackedResent, name: "in recovery", not: sackRecovery,
			has: open + burst(0.1, 0, 6, 1) + `
0.1205 < . 1:1 ack 1461 win 1000 sack 2921:4381
0.1210 < . 1:1 ack 1461 win 1000 sack 2921:5841
0.1215 < . 1:1 ack 1461 win 1000 sack 2921:7301
0.1220 > . 1461:2921 ack 1 win 1000
0.1380 > . 2921:4381 ack 1 win 1000
0.1420 < . 1:1 ack 8761 win 1000`},
		{code: EarlyRTO, name: "the minimum", not: timeouts,
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 1, 1) + "0.350 > . 1461:2921 ack 1 win 1000\n0.370 < . 1:1 ack 2921 win 1000"},
		{code: EarlyRTO, name: "SYN", others: true,
			not: "0 > S 0:1 win 65535 mss 1460 lost\n1 > S 0:1 win 65535 mss 1460\n1.02 < S. 0:1 ack 1 win 65535 mss 1460\n1.03 > . 1:1 ack 1 win 65535",
			has: "0 > S 0:1 win 65535 mss 1460 lost\n0.5 > S 0:1 win 65535 mss 1460\n1.02 < S. 0:1 ack 1 win 65535 mss 1460\n1.03 > . 1:1 ack 1 win 65535"},
		{code: LateRTO, name: "too late", not: timeouts,
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 1, 1) + "1.350 > . 1461:2921 ack 1 win 1000\n1.370 < . 1:1 ack 2921 win 1000"},
		{code: LateRTO, name: "never", not: open + burst(0.1, 0, 1), until: 1500 * time.Millisecond,
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 1, 1)},
		{code: NoBackoff, name: "the same gap", not: timeouts,
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 1, 1) +
				"0.47 > . 1461:2921 ack 1 win 1000 lost\n0.76 > . 1461:2921 ack 1 win 1000 lost\n1.03 > . 1461:2921 ack 1 win 1000\n1.05 < . 1:1 ack 2921 win 1000"},
		{code: TooManyRetries, name: "SYN|ACK", not: synAcks(3), has: synAcks(4), others: true},
		{code: NoFastRetransmit, name: "a timeout instead", not: sackRecovery,
			has: open + burst(0.1, 0, 6, 1) + `
0.1200 < . 1:1 ack 1461 win 1000
0.1205 < . 1:1 ack 1461 win 1000 sack 2921:4381
0.1210 < . 1:1 ack 1461 win 1000 sack 2921:5841
0.1215 < . 1:1 ack 1461 win 1000 sack 2921:7301
0.3600 > . 1461:2921 ack 1 win 1000
0.3800 < . 1:1 ack 8761 win 1000`},
		{code: NoFastRetransmit, name: "without SACK", not: renoRecovery,
			has: plain + wide(burst(0.1, 0, 6, 1)) + `
0.1200 < . 1:1 ack 1461 win 65000
0.1205 < . 1:1 ack 1461 win 65000
0.1210 < . 1:1 ack 1461 win 65000
0.1215 < . 1:1 ack 1461 win 65000
0.3600 > . 1461:2921 ack 1 win 65000
0.3800 < . 1:1 ack 8761 win 65000`},
		{code: BeyondWindow, name: "by a byte", not: plain + "0.1 < . 1:1 ack 1 win 1000\n0.2 > P. 1:1001 ack 1 win 65000\n0.22 < . 1:1 ack 1001 win 1000",
			has: plain + "0.1 < . 1:1 ack 1 win 1000\n0.2 > P. 1:1002 ack 1 win 65000\n0.22 < . 1:1 ack 1002 win 1000"},
		{code: BadPersist, name: "too soon", not: persist,
			has: plain + "0.1 > . 1:1461 ack 1 win 65000\n0.12 < . 1:1 ack 1461 win 0\n3.2 > . 1461:1462 ack 1 win 65000\n3.22 < . 1:1 ack 1462 win 65000"},
		{code: BurstAfterRTO, name: "all at once", not: goBack,
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 4, 1, 2, 3, 4) + burst(0.45, 1, 4) + "0.47 < . 1:1 ack 7301 win 1000"},
		{code: InitialWindow, name: "eleven", not: open + burst(0.1, 0, 10) + "0.12 < . 1:1 ack 14601 win 1000",
			has: open + burst(0.1, 0, 11) + "0.12 < . 1:1 ack 16061 win 1000"},
		{code: InitialWindow, name: "one more than left by SACK", not: open + burst(0.1, 0, 10, 0) + "0.12 < . 1:1 ack 1 win 1000 sack 1461:4381\n" + burst(0.1202, 10, 2) + "0.1215 < . 1:1 ack 1 win 1000 sack 1461:5841\n0.1217 > . 1:1461 ack 1 win 1000\n0.14 < . 1:1 ack 17521 win 1000",
			has: open + burst(0.1, 0, 10, 0) + "0.12 < . 1:1 ack 1 win 1000 sack 1461:4381\n" + burst(0.1202, 10, 3) + "0.1215 < . 1:1 ack 1 win 1000 sack 1461:5841\n0.1217 > . 1:1461 ack 1 win 1000\n0.14 < . 1:1 ack 18981 win 1000"},
		{code: MSSExceeded, name: "by a byte", not: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000",
			has: open + "0.1 > . 1:1462 ack 1 win 1000\n0.12 < . 1:1 ack 1462 win 1000"},
		{code: ContentChanged, name: "a resent segment", not: timeouts, others: true,
			has: open + burst(0.1, 0, 1) + "0.12 < . 1:1 ack 1461 win 1000\n" + burst(0.2, 1, 1, 1) + "0.45 > . 1461:2921 ack 1 win 1000 other\n0.47 < . 1:1 ack 2921 win 1000"},
		{code: WrongContent, name: "the first time", not: timeouts,
			has: open + "0.1 > . 1:1461 ack 1 win 1000 other\n0.12 < . 1:1 ack 1461 win 1000"},

		{code: WindowShrunk, name: "by more than the scale", not: receiving,
			has: open + "0.1 < . 1:1461 ack 1 win 1000\n0.11 > . 1:1 ack 1461 win 976"},
		{code: AckAhead, name: "by a byte", not: receiving, has: open + "0.1 < . 1:1461 ack 1 win 1000\n0.11 > . 1:1 ack 1462 win 1000"},
		{code: AckAhead, name: "of what was lost", not: receiving, has: open + "0.1 < . 1:1461 ack 1 win 1000 lost\n0.11 > . 1:1 ack 1461 win 1000"},
		{code: AckAhead, name: "of what was corrupt", not: receiving, has: open + "0.1 < . 1:1461 ack 1 win 1000 corrupt\n0.11 > . 1:1 ack 1461 win 1000"},
		{code: AckBackward, name: "by a byte", not: receiving, has: open + "0.1 < . 1:1461 ack 1 win 1000\n0.11 > . 1:1 ack 1461 win 1000\n0.12 > . 1:1 ack 1460 win 1001"},
		{code: FalseSACK, name: "a byte too many", not: receiving,
			has: open + "0.1 < . 1461:2921 ack 1 win 1000\n0.101 > . 1:1 ack 1 win 1000 sack 1461:2922"},
		{code: SACKReneged, name: "the middle", not: receiving, others: true,
			has: open + "0.1 < . 1461:2921 ack 1 win 1000\n0.101 > . 1:1 ack 1 win 1000 sack 1461:2921\n0.11 < . 1:1461 ack 1 win 1000\n0.111 > . 1:1 ack 1461 win 1000"},
		{code: AckLate, name: "600 ms", not: receiving, has: open + "0.1 < P. 1:100 ack 1 win 1000\n0.7 > . 1:1 ack 100 win 1000"},
		{code: AckSparse, name: "three segments", not: receiving,
			has: open + "0.1 < . 1:1461 ack 1 win 1000\n0.1 < . 1461:2921 ack 1 win 1000\n0.1 < . 2921:4381 ack 1 win 1000\n0.13 > . 1:1 ack 4381 win 1000"},
		{code: NoDupAck, name: "silence", not: receiving,
			has: open + "0.1 < . 1461:2921 ack 1 win 1000\n0.13 < . 1:1461 ack 1 win 1000\n0.131 > . 1:1 ack 2921 win 1000"},
		{code: AckStorm, name: "eleven", not: open + acks(10, 0.05), has: open + acks(12, 0.05)},
		{code: AckStorm, name: "slow", not: open + acks(30, 0.2), has: open + acks(30, 0.02)},

		{code: Malformed, name: "a cut option", not: open, has: open + "0.1 > . 1:1 ack 1 win 1000 ts 1:1 broken"},
		{code: BadChecksum, name: "segment", not: open, has: open + "0.1 > . 1:101 ack 1 win 1000 badsum\n0.12 < . 1:1 ack 101 win 1000"},
		{code: BadRST, name: "out of the window", not: open + "0.1 > R. 1:1 ack 1 win 0", has: open + "0.1 > R. 5000:5000 ack 1 win 0"},
		{code: AfterReset, name: "its own", not: open + "0.1 > R. 1:1 ack 1 win 0\n0.2 > R. 1:1 ack 1 win 0", has: open + "0.1 > R. 1:1 ack 1 win 0\n0.2 > . 1:1 ack 1 win 1000"},
		{code: AfterReset, name: "the peer's", not: open + "0.1 < R. 2:2 ack 1 win 0\n0.101 > . 1:1 ack 1 win 1000", has: open + "0.1 < R. 1:1 ack 1 win 0\n0.2 > . 1:1 ack 1 win 1000"},
		{code: BadEcho, name: "never sent", not: stamped, has: stamped + "0.2 > P. 101:102 ack 1 win 1000 ts 1200:621\n0.22 < . 1:1 ack 102 win 1000 ts 720:1200"},
		{code: TSBackward, name: "by one", not: stamped, has: stamped + "0.2 > P. 101:102 ack 1 win 1000 ts 1099:620\n0.22 < . 1:1 ack 102 win 1000 ts 720:1200"},
		{code: TSMissing, name: "on data", not: stamped, has: stamped + "0.2 > P. 101:102 ack 1 win 1000\n0.22 < . 1:1 ack 102 win 1000 ts 720:1200"},
		{code: NeedlessResend, name: "data with a FIN",
			not: open + "0.1 > F. 1:102 ack 1 win 1000\n0.105 > F. 101:102 ack 1 win 1000\n0.12 < . 1:1 ack 102 win 1000",
			has: open + "0.1 > F. 1:102 ack 1 win 1000\n0.105 > F. 1:102 ack 1 win 1000\n0.12 < . 1:1 ack 102 win 1000"},
		{code: NeedlessResend, name: "a FIN, of a stack that does not repeat it", profile: &netstack, not: open,
			has: open + "0.1 > F. 1:102 ack 1 win 1000\n0.105 > F. 101:102 ack 1 win 1000\n0.12 < . 1:1 ack 102 win 1000"},
		{code: NeedlessResend, name: "a tail loss probe too soon", profile: &netstack, not: open + burst(0.1, 0, 1, 0) + "0.16 > . 1:1461 ack 1 win 1000\n0.18 < . 1:1 ack 1461 win 1000",
			has: open + burst(0.1, 0, 1) + "0.105 > . 1:1461 ack 1 win 1000\n0.18 < . 1:1 ack 1461 win 1000"},
	}
}
