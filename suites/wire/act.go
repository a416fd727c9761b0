package wire

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// defaultQueue is a bottleneck's queue in bytes when the rule names none.
const defaultQueue = 64 << 10

func (b *Bottleneck) queue() int {
	if b.Queue == 0 {
		return defaultQueue
	}
	return b.Queue
}

// action is a rule at work.
type action struct {
	name  string
	names []string // name alone, for events that one rule hit
	match *matcher
	until *matcher // of the hold
	do    Action
	last  bool
	busy  map[lane]time.Duration // until when a bottleneck sends what is queued
	order map[lane]time.Duration // when the latest frame of an ordered delay is due
}

func newActions(rules []Rule, seed uint64) []*action {
	all := make([]*action, len(rules))
	for i := range rules {
		r := &rules[i]
		name := r.nameAt(i)
		a := &action{name: name, names: []string{name}, do: r.Do, last: r.Last, match: newMatcher(r.Match, seed, name)}
		a.busy, a.order = map[lane]time.Duration{}, map[lane]time.Duration{}
		if r.Do.Hold != nil && r.Do.Hold.Until != nil {
			a.until = newMatcher(*r.Do.Hold.Until, seed, name+" until")
		}
		all[i] = a
	}
	return all
}

// fate is what becomes of a frame.
type fate struct {
	frame   []byte // as it goes on
	changed bool
	dropped bool
	full    bool // a bottleneck dropped it
	due     time.Duration
	hold    *action
	copies  int
	gap     time.Duration
}

// can says whether the frame has what the rule would change.
func (a *action) can(s *seen) bool {
	return !(a.do.CE && !ecnCapable(s.p)) && !(a.do.Corrupt != nil && len(region(s.p, s.frame, a.do.Corrupt.In)) == 0)
}

// apply does to f what the rule says.
func (a *action) apply(s *seen, f *fate) {
	d := &a.do
	if d.Drop {
		f.dropped = true
		return
	}
	if d.CE {
		f.own()
		setCE(f.frame)
	}
	if n := d.Truncate; n > 0 && n < len(f.frame) {
		f.frame, f.changed = f.frame[:n], true
	}
	if d.Corrupt != nil {
		f.own()
		d.Corrupt.apply(f.frame, a.match.lane(s).dice)
	}
	if d.Delay != nil {
		f.due += d.Delay.draw(a.match.lane(s).dice)
		if key := (lane{s.nic, s.dir}); d.Delay.InOrder {
			f.due = max(f.due, a.order[key])
			a.order[key] = f.due
		}
	}
	if d.Bottleneck != nil {
		a.squeeze(lane{s.nic, s.dir}, f)
	}
	if d.Hold != nil && f.hold == nil {
		f.hold = a
	}
	if d.Duplicate != nil {
		f.copies, f.gap = d.Duplicate.Copies, time.Duration(d.Duplicate.Gap)
	}
}

// own makes the frame one that may be changed.
func (f *fate) own() {
	f.frame, f.changed = append([]byte(nil), f.frame...), true
}

// squeeze queues f in front of the slow link.
func (a *action) squeeze(key lane, f *fate) {
	b := a.do.Bottleneck
	busy := max(a.busy[key], f.due)
	waiting := int64((busy - f.due).Seconds() * float64(b.Rate) / 8)
	if waiting+int64(len(f.frame)) > int64(b.queue()) {
		f.dropped, f.full = true, true
		return
	}
	busy += time.Duration(float64(len(f.frame)) * 8 / float64(b.Rate) * float64(time.Second))
	a.busy[key] = busy
	f.due = busy + time.Duration(b.Delay)
}

func (d *Delay) draw(dice *rand.Rand) time.Duration {
	fixed, jitter := float64(d.Fixed), float64(d.Jitter)
	t := fixed
	if jitter > 0 {
		switch d.Shape {
		case "normal":
			t += dice.NormFloat64() * jitter
		case "exponential":
			t += dice.ExpFloat64() * jitter
		default:
			t += (2*dice.Float64() - 1) * jitter
		}
	}
	return time.Duration(max(0, min(t, fixed+10*jitter)))
}

// region is where a layer of the frame lies; it is empty when there is none.
func region(p *Packet, frame []byte, in string) []byte {
	switch {
	case in == "" || in == "frame":
		return frame
	case len(frame) <= 14 || !p.Src.IsValid() || p.Payload == nil:
		return nil
	case in == "ip":
		return frame[14 : offset(frame, p.Payload)+len(p.Payload)]
	case in == "transport":
		return p.Payload
	case p.IsTCP:
		return p.TCP.Payload
	}
	return nil
}

// offset of part, which shares frame's memory.
func offset(frame, part []byte) int { return cap(frame) - cap(part) }

func (c *Corrupt) apply(frame []byte, dice *rand.Rand) {
	var p Packet
	p.Decode(frame)
	b := region(&p, frame, c.In)
	if len(b) == 0 { // another rule has cut it off
		return
	}
	for range c.Bits {
		b[dice.IntN(len(b))] ^= 1 << dice.IntN(8)
	}
	for range c.Bytes {
		b[dice.IntN(len(b))] ^= byte(1 + dice.IntN(255))
	}
	if c.FixSum {
		FixSums(frame)
	}
}

// ecnCapable says whether a frame may be marked (RFC 3168, section 5).
func ecnCapable(p *Packet) bool { return p.Src.IsValid() && p.TOS&3 != 0 }

// setCE marks a frame that is ecnCapable.
func setCE(frame []byte) {
	if binary.BigEndian.Uint16(frame[12:]) == EtherIPv6 {
		frame[15] |= 3 << 4
		return
	}
	ip := frame[14:]
	ip[1] |= 3
	head := int(ip[0]&0x0f) * 4
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], Checksum(0, ip[:head]))
}

// FixSums makes the checksums of IPv4, TCP, UDP and ICMP of a frame right, as far as
// it can be understood. A fragment's transport is left as it is.
func FixSums(frame []byte) {
	var p Packet
	p.Decode(frame)
	if !p.Src.IsValid() {
		return
	}
	if p.EtherType == EtherIPv4 {
		ip := frame[14:]
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], Checksum(0, ip[:20+len(p.IPOptions)]))
	}
	at := map[uint8]int{ProtoTCP: 16, ProtoUDP: 6, ProtoICMP: 2, ProtoICMPv6: 2}
	i, ok := at[p.Proto]
	b := p.Payload
	if p.Fragment || !ok || len(b) < i+2 {
		return
	}
	b[i], b[i+1] = 0, 0
	var sum uint16
	if p.Proto == ProtoICMP {
		sum = Checksum(0, b)
	} else {
		sum = Checksum(PseudoHeader(p.Src, p.Dst, p.Proto, len(b)), b)
	}
	if p.Proto == ProtoUDP && sum == 0 {
		sum = 0xffff // 0 would say that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[i:], sum)
}
