package judge

import (
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// Code names a kind of finding. Codes are stable: cases and lists of known failures
// hold them.
type Code string

// What a guest's TCP can do wrong.
const (
	// As a sender.
	NeedlessResend   Code = "retransmit-without-loss"
	ResentTwice      Code = "lost-byte-not-resent-once"
	AckedResent      Code = "acked-resent"
	SackedResent     Code = "sacked-resent"
	EarlyRTO         Code = "early-rto"
	LateRTO          Code = "late-rto"
	NoBackoff        Code = "no-backoff"
	TooManyRetries   Code = "too-many-retries"
	NoFastRetransmit Code = "no-fast-retransmit"
	BeyondWindow     Code = "beyond-window"
	BadPersist       Code = "bad-persist"
	BurstAfterRTO    Code = "burst-after-rto"
	InitialWindow    Code = "initial-window-exceeded"
	MSSExceeded      Code = "mss-exceeded"
	ContentChanged   Code = "content-changed"
	WrongContent     Code = "wrong-content"

	// As a receiver.
	WindowShrunk Code = "window-shrunk"
	AckAhead     Code = "ack-beyond-received"
	AckBackward  Code = "ack-backward"
	FalseSACK    Code = "false-sack"
	SACKReneged  Code = "sack-reneged"
	AckLate      Code = "ack-late"
	AckSparse    Code = "ack-sparse"
	NoDupAck     Code = "no-dup-ack"
	AckStorm     Code = "ack-storm"

	// In every segment.
	Malformed   Code = "malformed"
	BadChecksum Code = "bad-checksum"
	BadRST      Code = "bad-rst"
	AfterReset  Code = "after-reset"
	BadEcho     Code = "bad-ts-echo"
	TSBackward  Code = "ts-backward"
	TSMissing   Code = "ts-missing"

	CounterMismatch Code = "counter-mismatch"
	TooMuch         Code = "too-much" // the judge gave up: nothing is said of the guest
)

// sections are where it is written that it is wrong.
var sections = map[Code]string{
	NeedlessResend:   "RFC 5681 3.1, RFC 9293 3.8.1",
	ResentTwice:      "RFC 6675 4 (NextSeg)",
	AckedResent:      "RFC 9293 3.4",
	SackedResent:     "RFC 2018 8",
	EarlyRTO:         "RFC 6298 5",
	LateRTO:          "RFC 6298 5",
	NoBackoff:        "RFC 6298 5.5",
	TooManyRetries:   "RFC 9293 3.8.3",
	NoFastRetransmit: "RFC 5681 3.2, RFC 6675 5",
	BeyondWindow:     "RFC 9293 3.8.6",
	BadPersist:       "RFC 9293 3.8.6.1",
	BurstAfterRTO:    "RFC 5681 3.1",
	InitialWindow:    "RFC 6928 2",
	MSSExceeded:      "RFC 9293 3.7.1",
	ContentChanged:   "RFC 9293 3.4",
	WrongContent:     "RFC 9293 3.4",
	WindowShrunk:     "RFC 9293 3.8.6, RFC 7323 2.4",
	AckAhead:         "RFC 9293 3.4",
	AckBackward:      "RFC 9293 3.4",
	FalseSACK:        "RFC 2018 4",
	SACKReneged:      "RFC 2018 8",
	AckLate:          "RFC 9293 3.8.6.3",
	AckSparse:        "RFC 5681 4.2",
	NoDupAck:         "RFC 5681 4.2",
	AckStorm:         "RFC 9293 3.10.7.4, RFC 5961 7",
	Malformed:        "RFC 9293 3.1",
	BadChecksum:      "RFC 9293 3.1",
	BadRST:           "RFC 9293 3.10.7",
	AfterReset:       "RFC 9293 3.10.7.4, RFC 5961 3.2",
	BadEcho:          "RFC 7323 3",
	TSBackward:       "RFC 7323 5.4",
	TSMissing:        "RFC 7323 3.2",
}

// Finding is something that no TCP may do, or not this one.
type Finding struct {
	Code   Code
	Stream int // from 1, by the order of appearance; 0: of no stream
	Flow   wire.Flow
	At     time.Duration // since the start of the cable
	Event  int64         // Event.N of the segment; of what was missing, the newest one
	// Start and End are the bytes that it is about, as offsets in the sender's
	// sequence space; equal when it is about none.
	Start, End int64
	Text       string // one line, with the numbers
	// A guest whose host held it up for Held since Since does the same. Held 0: it does
	// not, or the judge cannot tell.
	Since, Held time.Duration
}

// ifHeld says how long a host must have held the guest up, and since when, to be the one
// who caused it.
func (f *Finding) ifHeld(since, held time.Duration) { f.Since, f.Held = since, held }

// Section is where it is written, such as "RFC 6298 5.5"; empty for those that are
// about the judging.
func (f *Finding) Section() string { return sections[f.Code] }

// String is the finding as a line for people.
func (f *Finding) String() string {
	where := "trace"
	if f.Stream > 0 {
		where = fmt.Sprintf("stream %d", f.Stream)
	}
	if f.Start != f.End {
		where += fmt.Sprintf(", bytes %d to %d", f.Start, f.End)
	}
	line := fmt.Sprintf("%.6fs %s: %s: %s", f.At.Seconds(), where, f.Code, f.Text)
	if rfc := f.Section(); rfc != "" {
		line += " (" + rfc + ")"
	}
	return line
}

// report keeps a finding, and gives the kept one.
func (a *Analysis) report(f *Finding) *Finding {
	if len(a.Findings) >= maxFindings {
		a.Omitted++
		return f
	}
	a.Findings = append(a.Findings, *f)
	return &a.Findings[len(a.Findings)-1]
}
