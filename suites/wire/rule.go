package wire

// Rule says what is done to which frames. Rules are asked in their order, and every
// one that matches applies, until one drops the frame or is the Last. Match what you
// change by what was sent: a rule sees the frame as its sender sent it.
type Rule struct {
	Name  string `json:"name,omitempty"` // unique; empty: "rule N", by its place, from 1
	Match Match  `json:"match,omitzero"`
	Do    Action `json:"do"`
	Last  bool   `json:"last,omitempty"`
}

// Match says which frames. Every field that is set must hold; the zero value matches
// all. The last four are asked in their order of frames for which all before them
// hold, and count and draw for each rule of its own; Limit across both directions,
// the others for each NIC and direction by itself, so that what the one side sends
// does not change what happens to the other's.
type Match struct {
	Dir   Direction `json:"dir,omitempty"`
	NIC   *int      `json:"nic,omitempty"`
	Proto string    `json:"proto,omitempty"` // arp, ipv4, ipv6, icmp, icmpv6, tcp, udp
	Port  uint16    `json:"port,omitempty"`  // TCP: either one

	MinLength int      `json:"min_length,omitempty"` // of the frame, in bytes
	MaxLength int      `json:"max_length,omitempty"` // 0: any
	After     Duration `json:"after,omitempty"`      // since the cable's start
	Before    Duration `json:"before,omitempty"`     // 0: for ever

	Stream  int   `json:"stream,omitempty"` // number of a TCP stream, from 1 in order of first appearance; 0: any
	Set     Flags `json:"set,omitempty"`    // TCP flags that are set
	Clear   Flags `json:"clear,omitempty"`  // and that are not
	Data    bool  `json:"data,omitempty"`   // it carries bytes of a stream
	NoData  bool  `json:"no_data,omitempty"`
	Bytes   Range `json:"bytes,omitzero"` // it carries at least one of these
	Segment []int `json:"segment,omitempty"`
	// Segment: of those that carry data for the first time, the first one in its
	// direction of its stream is 1. Later transmissions have no number.

	// Transmissions: which transmission of any of its bytes, or of those in Bytes, it
	// is, from 1; of bytes that were sent differently often the highest. SYN and FIN
	// count as bytes. Empty: any.
	Transmissions []int `json:"transmissions,omitempty"`

	Skip        int     `json:"skip,omitempty"`        // the first so many not
	Every       int     `json:"every,omitempty"`       // of the rest, each so-manieth
	Probability float64 `json:"probability,omitempty"` // of these, by seed; 0: all
	Limit       int     `json:"limit,omitempty"`       // hits at most; 0: no limit
}

// Range is bytes of a stream, counted in one direction from the byte behind the SYN,
// which is byte 0. To is the first one behind it; 0: there is no end.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to,omitempty"`
}

// Action is what is done; those that are set are done in the order of the fields.
type Action struct {
	Drop       bool        `json:"drop,omitempty"`
	CE         bool        `json:"ce,omitempty"`       // ECN: congestion experienced; packets that are not ECN-capable are not hit
	Truncate   int         `json:"truncate,omitempty"` // to so many bytes, at least 14
	Corrupt    *Corrupt    `json:"corrupt,omitempty"`
	Delay      *Delay      `json:"delay,omitempty"`
	Bottleneck *Bottleneck `json:"bottleneck,omitempty"`
	Hold       *Hold       `json:"hold,omitempty"`
	Duplicate  *Duplicate  `json:"duplicate,omitempty"`
}

// Corrupt changes a frame at places that the seed chooses.
type Corrupt struct {
	Bits  int    `json:"bits,omitempty"`  // to flip
	Bytes int    `json:"bytes,omitempty"` // to replace by others
	In    string `json:"in,omitempty"`    // frame (default), ip, transport, payload of TCP; each with what it carries. Frames without it are not hit
	// FixSum makes the checksums right again, so that only who looks at the bytes can
	// tell.
	FixSum bool `json:"fix_sum,omitempty"`
}

// Delay of a frame.
type Delay struct {
	Fixed  Duration `json:"fixed,omitempty"`
	Jitter Duration `json:"jitter,omitempty"`
	// Shape: uniform (default; Fixed ± Jitter), normal (around Fixed; Jitter is the
	// standard deviation), exponential (Fixed and more; Jitter is the mean of what is
	// more). What is below 0 is 0, and nothing is above Fixed + 10 × Jitter.
	Shape   string `json:"shape,omitempty"`
	InOrder bool   `json:"in_order,omitempty"` // never before a frame that this rule delayed earlier
}

// Bottleneck is a slow link with a queue that drops at its tail. Each NIC and
// direction has one of its own.
type Bottleneck struct {
	Rate  int64    `json:"rate"`            // bit/s, of whole frames
	Delay Duration `json:"delay,omitempty"` // one way, behind the queue
	Queue int      `json:"queue,omitempty"` // bytes that wait at most; 0: 64 KiB
}

// Hold keeps a frame back until Frames more of its NIC and direction have passed, or
// a frame that Until matches was seen, in any direction, whichever is first; but not
// longer than Limit.
type Hold struct {
	Frames int      `json:"frames,omitempty"`
	Until  *Match   `json:"until,omitempty"`
	Limit  Duration `json:"limit"`
}

// Duplicate sends more copies behind the frame.
type Duplicate struct {
	Copies int      `json:"copies"`
	Gap    Duration `json:"gap,omitempty"`
}

// Mask gives numbers of segments for Match: bit i stands for segment i+1.
func Mask(bits uint64) []int {
	var numbers []int
	for i := range 64 {
		if bits>>i&1 != 0 {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// DropMask drops those of the first 64 data segments that one side of a stream sends
// whose bit is set; what is sent again passes.
func DropMask(name string, stream int, dir Direction, bits uint64) Rule {
	// Segment 0 does not exist: an empty mask drops nothing, not everything.
	return Rule{Name: name, Match: Match{Dir: dir, Stream: stream, Segment: append([]int{0}, Mask(bits)...)}, Do: Action{Drop: true}}
}

// Path gives rules for a link of a rate in bit/s and a round-trip time, the same in
// both directions, with queues of so many bytes.
func Path(rate int64, rtt Duration, queue int) []Rule {
	b := Bottleneck{Rate: rate, Delay: rtt / 2, Queue: queue}
	return []Rule{
		{Name: "path from guest", Match: Match{Dir: FromGuest}, Do: Action{Bottleneck: &b}},
		{Name: "path to guest", Match: Match{Dir: ToGuest}, Do: Action{Bottleneck: &b}},
	}
}
