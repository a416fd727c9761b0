package plot

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// play makes a trace of lines such as
//
//	TIME > FLAGS START:END [ack N] [win N] [sack A:B,...] [wscale N] [WORD...]
//
// TIME is in seconds. > is sent by the guest, < is sent to it. FLAGS are letters of
// SFRP and a dot for ACK. Numbers are relative: SYN is 0, the first byte 1. Words: lost,
// late=SECONDS, twice=SECONDS, changed, rule=NAME, port=N, short=N (bytes in the trace).
func play(script string) *wire.Trace {
	t := &wire.Trace{}
	for line := range strings.Lines(script) {
		if w := strings.Fields(line); len(w) > 0 {
			t.Events = append(t.Events, scripted(w, int64(len(t.Events))))
		}
	}
	t.Frames = int64(len(t.Events))
	return t
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func seconds(s string) time.Duration {
	return time.Duration(must(strconv.ParseFloat(s, 64))*1e9 + 0.5)
}

func pair(s string) (a, b wire.Seq) {
	x, y, _ := strings.Cut(s, ":")
	return wire.Seq(must(strconv.Atoi(x))), wire.Seq(must(strconv.Atoi(y)))
}

const guestISN, peerISN = wire.Seq(0xfffffc00), wire.Seq(0x7ffffff0) // both wrap or change sign

func scripted(w []string, n int64) wire.Event {
	e := wire.Event{N: n, At: seconds(w[0]), Dir: wire.FromGuest}
	guest, peer := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.1")
	p := wire.Packet{EtherType: wire.EtherIPv4, Src: guest, Dst: peer, Proto: wire.ProtoTCP, IsTCP: true}
	p.TCP = wire.Segment{SrcPort: 40000, DstPort: 80, Window: 1000}
	mine, theirs := guestISN, peerISN
	if w[1] == "<" {
		e.Dir, p.Src, p.Dst, p.TCP.SrcPort, p.TCP.DstPort, mine, theirs = wire.ToGuest, peer, guest, 80, 40000, peerISN, guestISN
	}
	for _, c := range w[2] {
		p.TCP.Flags |= map[rune]wire.Flags{'S': wire.SYN, 'F': wire.FIN, 'R': wire.RST, 'P': wire.PSH, '.': wire.ACK}[c]
	}
	from, to := pair(w[3])
	p.TCP.Seq = mine + from
	p.TCP.Payload = make([]byte, int(to-from)-(&wire.Segment{Flags: p.TCP.Flags}).Len())
	passed, short := []wire.Passed{{At: e.At}}, 0
	changed := false
	for i := 4; i < len(w); i++ {
		word, value, _ := strings.Cut(w[i], "=")
		next := func() string { i++; return w[i] }
		switch word {
		case "ack":
			p.TCP.Ack = theirs + wire.Seq(must(strconv.Atoi(next())))
		case "win":
			p.TCP.Window = uint16(must(strconv.Atoi(next())))
		case "wscale":
			p.TCP.Options.HasScale, p.TCP.Options.Scale = true, uint8(must(strconv.Atoi(next())))
		case "sack":
			var blocks []wire.Block
			for _, b := range strings.Split(next(), ",") {
				x, y := pair(b)
				blocks = append(blocks, wire.Block{Start: theirs + x, End: theirs + y})
			}
			p.TCP.Options.SetSACK(blocks...)
		case "lost":
			passed = nil
		case "late":
			passed[0].At += seconds(value)
		case "twice":
			passed = append(passed, wire.Passed{At: e.At + seconds(value)})
		case "changed":
			changed = true
		case "rule":
			e.Rules = append(e.Rules, value)
		case "port":
			p.TCP.SrcPort = uint16(must(strconv.Atoi(value)))
		case "short":
			short = must(strconv.Atoi(value))
		default:
			panic(fmt.Sprintf("%q in %q", w[i], w))
		}
	}
	e.Frame = p.Append(nil)
	e.Length = len(e.Frame)
	if changed {
		bad := append([]byte(nil), e.Frame...)
		bad[len(bad)-1] ^= 1
		passed[0].Frame = bad
	}
	if short > 0 {
		e.Frame = e.Frame[:short]
	}
	e.Passed = passed
	return e
}
