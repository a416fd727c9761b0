package faults

// All are the faults, by the case that finds them. Those of cases that a suite does not
// have wait for them.
func All() []Fault {
	return []Fault{
		{"wrong_data", "a byte of new data is another one, under a right checksum", "f01", 8, `wrong-content`},
		{"wrong_delivery", "a byte that came changes on its way to the program", "f01", 16, `receive: byte \d+ of the stream is not what was sent`},
		{"twice", "new data are sent two times", "f01", 4, `sent again on a wire that loses nothing`},
		{"ack_ahead", "bytes are acknowledged that nobody has sent", "f01", 16, `ack-beyond-received`},
		{"bad_checksum", "an acknowledgement has a wrong checksum", "f01", 16, `bad-checksum`},

		{"again_lost", "the first retransmission never leaves, only the timer's does", "r01", 3, `no-fast-retransmit|ms after the third duplicate`},
		{"again_twice", "a lost segment is sent again two times", "r01", 3, `2 segments were sent again, want one|lost-byte-not-resent-once|retransmit-without-loss`},
		{"wrong_again", "what is sent again is not what was sent, under a right checksum", "r01", 3, `wrong-content`},
		{"never_fast", "no number of duplicate acknowledgements is enough", "r01", 3, `no-fast-retransmit|ms after the third duplicate`},
		{"hasty", "the first duplicate acknowledgement is enough", "r01", 3, `before the third duplicate|retransmit-without-loss`},
		{"short_rto", "the retransmission timer forgets its least value", "r01", 3, `early-rto`},
		{"ignore_sack", "the peer's SACK blocks are not read", "r01_sack", 1, `no-fast-retransmit|ms after the third duplicate`},

		{"leak_syn", "an object of a slab stays for each SYN", "l01", 4, `zone hw_syn: \d+ items more in use`},
		{"leak_skb", "a copy of the SYN is never freed", "l01", 4, `zone skbuff\w*: \d+ items more in use`},
		{"leak_sock", "the last reference to a socket is never dropped", "l01", 4, `zone TCP: \d+ items more in use`},

		{"no_growth", "the congestion window stays as it began", "p01", 1, `4 MiB took .* more than 10 % off`},

		{"no_backoff", "the retransmission timer does not double", "r04", 1, `no-backoff|back.?off|gap|doubl`},
		{"no_slowdown", "after a timeout the congestion window is as large as before", "r06", 1, `burst-after-rto|cwnd|window`},
		{"no_synack_again", "a SYN|ACK that is lost is not sent again", "r08", 1, `SYN`},
		{"no_limit", "every segment that does not belong is answered", "f06", 1, `ack-storm|repl|answer|challenge`},
		{"no_persist", "a closed window is never probed", "f07", 1, `bad-persist|prob|persist`},
		{"leak_abort", "an object of a slab stays for each reset", "l02", 1, `hw_abort`},
		{"leak_challenge", "an object of a slab stays for each challenge", "l03", 1, `hw_challenge`},
		{"leak_wait", "an object of a slab stays for each TIME_WAIT", "l05", 1, `hw_wait`},
	}
}
