package wire

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// bench runs frames through a core, and notes what comes out.
type bench struct {
	core
	got []string // "frame@ms"
}

func newBench(t interface{ Fatal(...any) }, seed uint64, rules ...Rule) *bench {
	if err := CheckRules(rules); err != nil {
		t.Fatal(err)
	}
	b := &bench{core: core{seed: seed, actions: newActions(rules, seed), maxHeld: 1 << 30}}
	b.trace.options.Bytes = 1 << 30
	b.out = func(it *item) {
		b.got = append(b.got, fmt.Sprintf("%d@%g", it.event.N, float64(it.due)/1e6))
		b.passes([]*item{it}, it.due)
		b.passed([]*item{it})
	}
	return b
}

const ms = time.Millisecond

// segment makes the frame of one from the guest's port 1000+stream, or to it.
func segment(dir Direction, stream int, seq Seq, flags Flags, payload int) []byte {
	guest, peer := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.1")
	if stream%2 == 0 {
		guest, peer = netip.MustParseAddr("fd77::2"), netip.MustParseAddr("fd77::1")
	}
	p := Packet{EtherType: EtherIPv4, Src: guest, Dst: peer, Proto: ProtoTCP, IsTCP: true}
	p.TCP = Segment{SrcPort: uint16(1000 + stream), DstPort: 80, Seq: seq, Flags: flags, Payload: bytes.Repeat([]byte{byte(seq)}, payload)}
	if dir == ToGuest {
		p.Src, p.Dst, p.TCP.SrcPort, p.TCP.DstPort = peer, guest, 80, uint16(1000+stream)
	}
	if guest.Is6() {
		p.EtherType = EtherIPv6
	}
	return p.Append(nil)
}

// TestMatch sends a handshake and segments of 100 bytes of each of two streams, the
// first one's sequence numbers wrapping, with the bytes from 200 on sent twice.
func TestMatch(t *testing.T) {
	one := 0
	drop := Action{Drop: true}
	for name, tt := range map[string]struct {
		match Match
		want  string // numbers of the frames that were dropped
	}{
		"everything":                  {Match{}, "0 1 2 3 4 5 6 7 8 9 10 11"},
		"one direction":               {Match{Dir: ToGuest}, "1"},
		"a NIC that is not there":     {Match{NIC: func() *int { n := 1; return &n }()}, ""},
		"this NIC":                    {Match{NIC: &one, Dir: ToGuest}, "1"},
		"IPv6":                        {Match{Proto: "ipv6"}, "7 8 9 10 11"},
		"UDP":                         {Match{Proto: "udp"}, ""},
		"port":                        {Match{Port: 1002}, "7 8 9 10 11"},
		"stream":                      {Match{Stream: 2}, "7 8 9 10 11"},
		"flags":                       {Match{Set: SYN}, "0 1 7"},
		"flags, not":                  {Match{Set: SYN, Clear: ACK}, "0 7"},
		"data":                        {Match{Data: true, Stream: 1}, "2 3 4 5 6"},
		"no data":                     {Match{NoData: true, Stream: 1}, "0 1"},
		"bytes":                       {Match{Stream: 1, Bytes: Range{150, 201}}, "3 4 5"},
		"bytes, a border":             {Match{Stream: 1, Bytes: Range{100, 200}}, "3"},
		"bytes to the end":            {Match{Stream: 2, Bytes: Range{From: 100}}, "9 10 11"},
		"second transmission of some": {Match{Stream: 1, Bytes: Range{200, 300}, Transmissions: []int{2}}, "5"},
		"third of some of its bytes":  {Match{Transmissions: []int{3}}, "6"},
		"second transmission of any":  {Match{Transmissions: []int{2}}, "5 11"},
		"first of both":               {Match{Stream: 1, Data: true, Transmissions: []int{1}}, "2 3 4"},
		"bytes, not their second":     {Match{Stream: 1, Bytes: Range{100, 200}, Transmissions: []int{2}}, ""},
		"first SYN":                   {Match{Set: SYN, Dir: FromGuest, Transmissions: []int{1}}, "0 7"},
		"segments":                    {Match{Dir: FromGuest, Segment: []int{1, 3}}, "2 4 8 10"},
		"mask":                        {DropMask("", 1, FromGuest, 0b110).Match, "3 4"},
		"empty mask":                  {DropMask("", 1, FromGuest, 0).Match, ""},
		"each third":                  {Match{Dir: FromGuest, Every: 3}, "3 6 9"},
		"not the first two":           {Match{Dir: FromGuest, Skip: 2, Every: 4}, "6 10"},
		"limit":                       {Match{Data: true, Limit: 2}, "2 3"},
		"time":                        {Match{After: 3 * Millisecond, Before: 5 * Millisecond}, "3 4"},
		"size":                        {Match{MinLength: 160, MaxLength: 160}, ""},
		"size of data":                {Match{MinLength: 154, MaxLength: 154}, "2 3 4 5 6"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1, Rule{Name: "it", Match: tt.match, Do: drop})
			isn := Seq(0xffffffff - 149)
			frames := [][]byte{
				segment(FromGuest, 1, isn-1, SYN, 0), segment(ToGuest, 1, 5, SYN|ACK, 0),
				segment(FromGuest, 1, isn, ACK, 100), segment(FromGuest, 1, isn+100, ACK, 100), segment(FromGuest, 1, isn+200, ACK, 100),
				segment(FromGuest, 1, isn+200, ACK, 100), segment(FromGuest, 1, isn+250, ACK, 100),
				segment(FromGuest, 2, 77, SYN, 0),
				segment(FromGuest, 2, 78, ACK, 100), segment(FromGuest, 2, 178, ACK, 100), segment(FromGuest, 2, 278, ACK, 100),
				segment(FromGuest, 2, 278, ACK, 100),
			}
			for i, f := range frames {
				dir := FromGuest
				if i == 1 {
					dir = ToGuest
				}
				b.frame(time.Duration(i)*ms, lane{0, dir}, f)
			}
			var dropped []string
			for _, e := range b.trace.events {
				if e.Dropped() {
					dropped = append(dropped, fmt.Sprint(e.N))
				}
				if e.Dropped() != (len(e.Rules) == 1 && e.Rules[0] == "it") || e.Held != 0 {
					t.Errorf("event %d: %+v", e.N, e)
				}
			}
			if got := strings.Join(dropped, " "); got != tt.want {
				t.Errorf("dropped %q, want %q", got, tt.want)
			}
		})
	}
}

// TestActions sends five frames of 100 bytes, a millisecond apart, the other way a
// sixth, and looks after 100 ms at what came out when.
func TestActions(t *testing.T) {
	second := Match{Dir: FromGuest, Skip: 1, Limit: 1}
	for name, tt := range map[string]struct {
		rules []Rule
		want  string
	}{
		"none":      {nil, "0@0 1@1 2@2 3@3 4@4 5@5"},
		"delay":     {[]Rule{{Match: second, Do: Action{Delay: &Delay{Fixed: 10 * Millisecond}}}}, "0@0 2@2 3@3 4@4 5@5 1@11"},
		"all alike": {[]Rule{{Match: Match{Before: 2 * Millisecond}, Do: Action{Delay: &Delay{Fixed: 10 * Millisecond}}}}, "2@2 3@3 4@4 5@5 0@10 1@11"},
		"two delays": {[]Rule{{Match: second, Do: Action{Delay: &Delay{Fixed: 10 * Millisecond}}},
			{Name: "more", Do: Action{Delay: &Delay{Fixed: Millisecond}}}}, "0@1 2@3 3@4 4@5 5@6 1@12"},
		"the last rule": {[]Rule{{Match: second, Last: true, Do: Action{Delay: &Delay{Fixed: 10 * Millisecond}}},
			{Name: "more", Do: Action{Delay: &Delay{Fixed: Millisecond}}}}, "0@1 2@3 3@4 4@5 5@6 1@11"},
		"duplicate":       {[]Rule{{Match: second, Do: Action{Duplicate: &Duplicate{Copies: 2, Gap: 2 * Millisecond}}}}, "0@0 1@1 2@2 1@3 3@3 4@4 1@5 5@5"},
		"at once":         {[]Rule{{Match: second, Do: Action{Duplicate: &Duplicate{Copies: 1}}}}, "0@0 1@1 1@1 2@2 3@3 4@4 5@5"},
		"reorder by two":  {[]Rule{{Match: second, Do: Action{Hold: &Hold{Frames: 2, Limit: Second}}}}, "0@0 2@2 3@3 1@3 4@4 5@5"},
		"hold, too long":  {[]Rule{{Match: second, Do: Action{Hold: &Hold{Frames: 9, Limit: 20 * Millisecond}}}}, "0@0 2@2 3@3 4@4 5@5 1@21"},
		"until an answer": {[]Rule{{Match: second, Do: Action{Hold: &Hold{Until: &Match{Dir: ToGuest}, Limit: Second}}}}, "0@0 2@2 3@3 4@4 5@5 1@5"},
		"dropped frames release no one": {[]Rule{{Match: second, Do: Action{Hold: &Hold{Frames: 2, Limit: Second}}},
			{Name: "drop", Match: Match{Dir: FromGuest, Skip: 2, Limit: 1}, Do: Action{Drop: true}}}, "0@0 3@3 4@4 1@4 5@5"},
		// 154 bytes take 2 ms of this, and the queue has room for one and a half, with
		// what is being sent.
		"bottleneck": {[]Rule{{Match: Match{Dir: FromGuest}, Do: Action{Bottleneck: &Bottleneck{Rate: 616_000, Delay: 10 * Millisecond, Queue: 250}}}},
			"5@5 0@12 1@14 3@16"},
		"ordered jitter": {[]Rule{{Match: Match{Dir: FromGuest}, Do: Action{Delay: &Delay{Fixed: 20 * Millisecond, InOrder: true}}},
			{Name: "late", Match: second, Do: Action{Delay: &Delay{Fixed: 3 * Millisecond}}}}, "5@5 0@20 2@22 3@23 1@24 4@24"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1, tt.rules...)
			for i := range 5 {
				b.frame(time.Duration(i)*ms, lane{0, FromGuest}, segment(FromGuest, 1, Seq(100*i), ACK, 100))
			}
			b.frame(5*ms, lane{0, ToGuest}, segment(ToGuest, 1, 1, ACK, 100))
			b.advance(100 * ms)
			if got := strings.Join(b.got, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	for name, tt := range map[string]struct {
		do     Action
		is6    int
		intact bool // checksums
		bits   int  // that differ; -1: any
	}{
		"a bit of the payload":            {Action{Corrupt: &Corrupt{Bits: 1, In: "payload"}}, 1, false, 1},
		"a bit, sum fixed":                {Action{Corrupt: &Corrupt{Bits: 1, In: "payload", FixSum: true}}, 1, true, -1},
		"a bit, sum fixed, IPv6":          {Action{Corrupt: &Corrupt{Bits: 1, In: "payload", FixSum: true}}, 2, true, -1},
		"a byte of TCP's header and data": {Action{Corrupt: &Corrupt{Bytes: 1, In: "transport"}}, 2, false, -1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 7, Rule{Do: tt.do})
			dir, frame := FromGuest, segment(FromGuest, tt.is6, 1, ACK, 100)
			b.frame(0, lane{0, dir}, frame)
			e := b.trace.events[0]
			if len(e.Passed) != 1 || e.Passed[0].Frame == nil || !bytes.Equal(e.Frame, frame) {
				t.Fatalf("%+v", e)
			}
			got, bits := e.Passed[0].Frame, 0
			for i := range got {
				for x := got[i] ^ frame[i]; x != 0; x &= x - 1 {
					bits++
				}
			}
			var p Packet
			p.Decode(got)
			if p.TCP.ChecksumOK != tt.intact && p.Malformed == "" || bits == 0 || tt.bits >= 0 && bits != tt.bits {
				t.Errorf("%d bits changed, checksum right: %v, %s", bits, p.TCP.ChecksumOK, p.Malformed)
			}
		})
	}
	t.Run("ECN", func(t *testing.T) {
		for _, stream := range []int{1, 2} {
			b := newBench(t, 1, Rule{Do: Action{CE: true}})
			frame := segment(FromGuest, stream, 1, ACK, 10)
			b.frame(0, lane{0, FromGuest}, frame)
			var p Packet
			p.Decode(frame)
			p.TOS = 2 // ECT(0)
			b.frame(0, lane{0, FromGuest}, p.Append(nil))
			plain, marked := b.trace.events[0], b.trace.events[1]
			p.Decode(marked.As(marked.Passed[0]))
			if len(plain.Rules) != 0 || len(marked.Rules) != 1 || p.TOS != 3 || !p.HeaderSumOK || !p.TCP.ChecksumOK {
				t.Errorf("%v %v %+v", plain.Rules, marked.Rules, p)
			}
		}
	})
	t.Run("truncate", func(t *testing.T) {
		b := newBench(t, 1, Rule{Do: Action{Truncate: 60}})
		b.frame(0, lane{0, FromGuest}, segment(FromGuest, 1, 1, ACK, 100))
		if e := b.trace.events[0]; len(e.Passed[0].Frame) != 60 || len(e.Frame) != 154 {
			t.Errorf("%d of %d", len(e.Passed[0].Frame), len(e.Frame))
		}
	})
}

// anyRule draws rules that use the dice.
func anyRule(t *rapid.T, i int) Rule {
	r := Rule{Name: fmt.Sprint("rule ", i)}
	r.Match.Probability = rapid.Float64Range(.1, .9).Draw(t, "p")
	r.Match.Dir = Direction(rapid.IntRange(0, 2).Draw(t, "dir"))
	r.Match.Every = rapid.IntRange(0, 3).Draw(t, "every")
	switch rapid.IntRange(0, 6).Draw(t, "do") {
	case 0:
		r.Do.Drop = true
	case 1:
		r.Do.Delay = &Delay{Fixed: 3 * Millisecond, Jitter: 2 * Millisecond, Shape: rapid.SampledFrom(shapes).Draw(t, "shape")}
	case 2:
		r.Do.Corrupt = &Corrupt{Bits: 2}
	case 3:
		r.Do.Duplicate = &Duplicate{Copies: 2, Gap: Millisecond}
	case 4:
		r.Do.Hold = &Hold{Frames: 2, Limit: 5 * Millisecond}
	case 5:
		r.Do.Bottleneck = &Bottleneck{Rate: 1e6, Delay: Millisecond, Queue: 2000}
	case 6:
		r.Do.Hold = &Hold{Until: &Match{Probability: .2}, Limit: 5 * Millisecond}
	}
	return r
}

// TestSameSeed: the same frames meet the same fate; and what the one direction sends
// changes nothing of the other's.
func TestSameSeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rules []Rule
		for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
			rules = append(rules, anyRule(t, i))
		}
		seed := rapid.Uint64().Draw(t, "seed")
		n := rapid.IntRange(1, 60).Draw(t, "frames")
		dirs := rapid.SliceOfN(rapid.SampledFrom([]Direction{FromGuest, ToGuest}), n, n).Draw(t, "dirs")
		crossing := false // a hold waits for what the other direction sends
		for _, r := range rules {
			crossing = crossing || r.Do.Hold != nil && r.Do.Hold.Until != nil
		}
		run := func(only Direction) []string {
			b := newBench(t, seed, rules...)
			for i, d := range dirs {
				if only == 0 || only == d {
					b.frame(time.Duration(i)*ms/2, lane{0, d}, segment(d, 1+i%4, Seq(i*100), ACK, 100))
				}
			}
			b.advance(time.Second)
			var all []string
			for _, e := range b.trace.events {
				if only == 0 || e.Dir == only {
					all = append(all, fmt.Sprintf("%v %v %v %x", e.At, e.Rules, e.Passed, e.Frame))
				}
				if e.Held != 0 {
					t.Fatalf("event %d is still held after a second", e.N)
				}
			}
			return all
		}
		both := run(0)
		if diff := cmp.Diff(both, run(0)); diff != "" {
			t.Fatal(diff)
		}
		if !crossing {
			var mine []string
			for i, d := range dirs {
				if d == FromGuest {
					mine = append(mine, both[i])
				}
			}
			if diff := cmp.Diff(mine, run(FromGuest)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// TestSpans compares with counting byte by byte.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		var counts [200]int
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			from := rapid.IntRange(0, 190).Draw(t, "from")
			to := rapid.IntRange(from, min(from+40, 200)).Draw(t, "to")
			fresh := false
			for i := from; i < to; i++ {
				fresh = fresh || counts[i] == 0
				counts[i]++
			}
			if got := s.add(int64(from), int64(to)); got != fresh {
				t.Fatalf("[%d, %d) new: %v, want %v; %v", from, to, got, fresh, s)
			}
			for i := 1; i < len(s); i++ {
				if s[i-1].to > s[i].from || s[i-1].from >= s[i-1].to {
					t.Fatalf("not sorted: %v", s)
				}
			}
			a := rapid.IntRange(0, 199).Draw(t, "a")
			z := rapid.IntRange(a+1, 200).Draw(t, "z")
			most := 0
			for _, n := range counts[a:z] {
				most = max(most, n)
			}
			if got := s.most(int64(a), int64(z)); got != most {
				t.Fatalf("most of [%d, %d) is %d, want %d; %v", a, z, got, most, s)
			}
		}
	})
}

func TestStreamsBeginAnew(t *testing.T) {
	var s Streams
	see := func(dir Direction, seq Seq, flags Flags, n int) Place {
		var p Packet
		p.Decode(segment(dir, 1, seq, flags, n))
		return s.See(0, dir, &p)
	}
	see(FromGuest, 10, SYN, 0)
	if p := see(FromGuest, 99, SYN, 0); p.Stream != 1 {
		t.Errorf("a second SYN began stream %d while the first one lives", p.Stream)
	}
	see(FromGuest, 11, FIN|ACK, 10)
	if p := see(FromGuest, 21, ACK, 0); p.Stream != 1 {
		t.Errorf("%+v", p)
	}
	if p := see(FromGuest, 5000, SYN, 0); p.Stream != 2 || p.From != -1 {
		t.Errorf("after its end: %+v", p)
	}
	if p := see(FromGuest, 5001, ACK, 10); p.Stream != 2 || p.Data != (Range{0, 10}) || p.Segment != 1 || p.Transmissions(Range{}) != 1 {
		t.Errorf("%+v", p)
	}
	if p := see(FromGuest, 5001+1<<31, ACK, 10); p.Data != (Range{}) {
		t.Errorf("far out of any window: %+v", p)
	}
}
