package judge

// Reason is why the guest sent bytes that it had sent before, or, of new ones, why it
// could send them in that state. The zero value means that they are new and nothing
// is special about them.
type Reason uint8

// The reasons. Needless is none: there is a finding for it.
const (
	_               Reason = iota
	Needless               // nothing allowed it
	BeforeTrace            // it sent them before the trace began
	SYN                    // the timer of a SYN
	SYNACK                 // the timer of a SYN|ACK, or a SYN that came again
	RTO                    // retransmission timeout (RFC 6298)
	GoBackN                // what was outstanding at a timeout (RFC 5681, section 3.1)
	FastRetransmit         // duplicate ACKs or SACK say that it is lost (RFC 5681, RFC 6675, RFC 8985)
	SACKHole               // another hole of the same recovery (RFC 6675)
	PartialACK             // the next hole of a NewReno recovery (RFC 6582)
	Rescue                 // rule 4 of NextSeg (RFC 6675)
	TLP                    // tail loss probe (RFC 8985)
	LimitedTransmit        // new bytes on the first duplicate ACKs (RFC 3042)
	Persist                // probe of a closed window, or what the closing took back
	Keepalive              // RFC 9293, section 3.8.4
	PathMTU                // the network said that it was too big (RFC 1191, RFC 8201)
	FIN                    // of its own, with an ACK: see Profile.RepeatsFIN
	reasonEnd
)

var reasons = [reasonEnd]string{"", "needless", "before the trace", "SYN", "SYN|ACK", "RTO", "go-back-N", "fast retransmit",
	"SACK hole", "partial ACK", "rescue", "tail loss probe", "limited transmit", "persist", "keepalive", "path MTU", "FIN"}

func (r Reason) String() string {
	if r < reasonEnd {
		return reasons[r]
	}
	return "unknown"
}

// mayBeNoLoss says whether it is right to send for this reason on a wire that loses
// and delays nothing.
func (r Reason) mayBeNoLoss() bool {
	switch r {
	case BeforeTrace, TLP, LimitedTransmit, Persist, Keepalive, PathMTU, FIN:
		return true
	}
	return false
}
