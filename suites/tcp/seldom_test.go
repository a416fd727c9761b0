package tcp

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/wire"
)

func TestSignatures(t *testing.T) {
	src, dst := netip.MustParseAddr("10.77.0.3"), netip.MustParseAddr("10.77.0.2")
	s := sign(src, dst, wire.Segment{SrcPort: 1, DstPort: 2, Seq: 3, Flags: wire.SYN}, "key")
	p := wire.Packet{EtherType: wire.EtherIPv4, Src: src, Dst: dst, Proto: wire.ProtoTCP, IsTCP: true, TCP: s}
	var came wire.Packet
	came.Decode(p.Append(nil))
	if err := signedBy(&came, "key"); err != nil {
		t.Error(err)
	}
	for want, p := range map[string]func(*wire.Packet){
		"the guest's signature is wrong":                       func(p *wire.Packet) { p.TCP.Seq++ },
		"the guest does not sign what it was told to sign":     func(p *wire.Packet) { p.TCP.Options.Raw = nil },
		"an option of 0 bytes":                                 func(p *wire.Packet) { p.TCP.Options.Raw = []byte{1, 5, 0, 0} },
		"the guest does not sign what it was told to sign\x00": func(p *wire.Packet) { p.TCP.Options.Raw = []byte{optMD5, md5Size, 1} },
	} {
		spoilt := came
		p(&spoilt)
		if _, reason := suites.Classify(signedBy(&spoilt, "key")); reason != strings.TrimRight(want, "\x00") {
			t.Errorf("%q, want %q", reason, want)
		}
	}
}

func TestSegmentsInUDP(t *testing.T) {
	src, dst := netip.MustParseAddr("fd77::3"), netip.MustParseAddr("fd77::2")
	p := inUDP(src, dst, 1000, 9899, wire.Segment{SrcPort: 1, DstPort: 2, Seq: 3, Ack: 4, Flags: wire.SYN | wire.ACK})
	if wire.Checksum(wire.PseudoHeader(src, dst, protoUDP, len(p.Payload)), p.Payload) != 0 {
		t.Error("a wrong checksum")
	}
	if s, ok := tunnelled(&p, 9899); !ok || s.Seq != 3 || s.Ack != 4 || s.Flags != wire.SYN|wire.ACK || s.SrcPort != 1 || s.DstPort != 2 {
		t.Errorf("%+v", s)
	}
	for name, other := range map[string]wire.Packet{"another port": inUDP(src, dst, 1, 2, wire.Segment{}), "short": {Proto: protoUDP, Payload: make([]byte, 20)}, "no UDP": {Payload: p.Payload}} {
		if _, ok := tunnelled(&other, 9899); ok {
			t.Error(name)
		}
	}
}

// What a kernel has not is left out, what cannot be asked is no skip.
func TestRaritiesThatAreMissing(t *testing.T) {
	g := newStackGuest(t)
	g.calls[kguest.OpSysctls] = func(_ context.Context, _, result any) error {
		return json.Unmarshal([]byte(`{}`), result)
	}
	err := has("net.inet.tcp.udp_tunneling_port")(t.Context(), g)
	if s, reason := suites.Classify(err); s != suites.Skipped || reason != "this kernel has no net.inet.tcp.udp_tunneling_port" {
		t.Errorf("%v: %s", s, reason)
	}
	g.calls[kguest.OpSysctls] = func(context.Context, any, any) error { return context.DeadlineExceeded }
	if s := status(has("x")(t.Context(), g)); s == suites.Skipped || s == suites.Passed {
		t.Errorf("%v", s)
	}
}

// A guest that forgets its connections' data when its neighbour changes.
func TestANeighbourThatTakesTheConnectionAlong(t *testing.T) {
	g := newStackGuest(t)
	g.calls[kguest.OpNeighbor] = func(_ context.Context, args, _ any) error {
		if args.(kguest.NeighborArgs).Remove {
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, c := range g.conns {
				c.Close()
			}
		}
		return nil
	}
	status, reason, _ := runCase(t, g, "l06_v4", 20*time.Second, nil)
	if status == suites.Passed || !strings.Contains(reason, "a neighbour changes: after the neighbour has changed: ") {
		t.Errorf("%v: %s", status, reason)
	}
}
