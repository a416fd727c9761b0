package faults

// All are the faults, by the case that finds them.
func All() []Fault {
	return []Fault{
		{Name: "wrong_data", Summary: "a byte of new data is another one, under a right checksum", Case: "f01", Every: 8, Reason: `wrong-content`},
		{Name: "wrong_delivery", Summary: "a byte that came changes on its way to the program", Case: "f01", Every: 16, Reason: `receive: byte \d+ of the stream is not what was sent`},
		{Name: "needless", Summary: "data are sent again that nobody had lost", Case: "f01", Every: 4, Reason: `sent again on a wire that loses nothing`},
		{Name: "twice", Summary: "new data are sent two times, and the kernel does not count it", Case: "f01", Every: 4, Reason: `retransmitted_segments: the kernel counted \d+, the wire saw \d+`},
		{Name: "ack_ahead", Summary: "bytes are acknowledged that nobody has sent", Case: "f01", Every: 16, Reason: `ack-beyond-received`},
		{Name: "bad_checksum", Summary: "an acknowledgement has a wrong checksum", Case: "f01", Every: 16, Reason: `bad-checksum`},

		{Name: "again_lost", Summary: "the first retransmission never leaves, only the timer's does", Case: "r01", Every: 3, Reason: `no-fast-retransmit|ms after the third duplicate`},
		{Name: "again_twice", Summary: "a lost segment is sent again two times", Case: "r01", Every: 3, Reason: `2 segments were sent again, want one|lost-byte-not-resent-once|retransmit-without-loss`},
		{Name: "wrong_again", Summary: "what is sent again is not what was sent, under a right checksum", Case: "r01", Every: 3, Reason: `wrong-content`},
		{Name: "never_fast", Summary: "no number of duplicate acknowledgements is enough", Case: "r01", Every: 3, Reason: `no-fast-retransmit|ms after the third duplicate`},
		{Name: "short_rto", Summary: "the retransmission timer forgets its least value", Case: "r01", Every: 3, Reason: `early-rto|retransmit-without-loss: sent again after \d+\.\d ms`},
		{Name: "ignore_sack", Summary: "the peer's SACK blocks are not read", Case: "r01_sack", Every: 1, Reason: `no-fast-retransmit|ms after the third duplicate`},

		{Name: "leak_syn", Summary: "an object of a slab stays for each SYN", Case: "l01", Every: 4, Reason: `zone hw_syn: \d+ items more in use`},
		{Name: "leak_skb", Summary: "a copy of the SYN is never freed", Case: "l01", Every: 4, Reason: `zone (skbuff\w*|kmalloc-1k): \d+ items more in use`},
		{Name: "leak_sock", Summary: "the last reference to a socket is never dropped", Case: "l01", Every: 4, Reason: `zone TCP: \d+ items more in use`},

		{Name: "no_growth", Summary: "the congestion window stops at 12 to 14 segments", Case: "p01", Every: 1, Reason: `4 MiB took .* more than 10 % off`},

		{Name: "no_backoff", Summary: "the retransmission timer does not double", Case: "r04", Every: 1, Reason: `no-backoff`},
		{Name: "hasty", Summary: "the first duplicate acknowledgement is enough", Case: "r05", Every: 1, Reason: `retransmit-without-loss`},
		{Name: "no_slowdown", Summary: "after a timeout the congestion window is as large as before", Case: "r06", Every: 1, Reason: `burst-after-rto|the congestion window did not begin again`},
		{Name: "no_synack_again", Summary: "a SYN|ACK that is lost is not sent again", Case: "r08", Every: 1, Reason: `passive: the handshake is not complete`},
		{Name: "no_limit", Summary: "every segment that does not belong is answered", Case: "f06", Every: 1, Reason: `old acknowledgements at once got \d+ answers`},
		{Name: "no_persist", Summary: "a closed window is never probed", Case: "f07", Every: 1, Reason: `0 probes of a window`},
		{Name: "leak_abort", Summary: "an object of a slab stays for each reset", Case: "l02", Every: 1, Quick: true, Reason: `zone hw_abort: \d+ items more in use`},
		{Name: "leak_challenge", Summary: "an object of a slab stays for each challenge", Case: "l03", Every: 1, Quick: true, Reason: `zone hw_challenge: \d+ items more in use`},
		{Name: "leak_wait", Summary: "an object of a slab stays for each TIME_WAIT", Case: "l05", Every: 1, Quick: true, Reason: `zone hw_wait: \d+ items more in use`},
	}
}
