package judge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// A script is a trace that reads like one of packetdrill, one segment per line:
//
//	TIME > FLAGS START:END [ack N] [win N] [sack A:B,...] [mss N] [sackOK] [wscale N] [ts V:E] [WORD...]
//
// TIME is in seconds, + counts from the line before. > is sent by the guest, < is
// sent to it. FLAGS are letters of SFRPU and a dot for ACK. Offsets are relative:
// SYN is 0. Words: lost (by the wire), late=SECONDS, badsum (as it was sent),
// corrupt (by the wire), other (other bytes), short=N (the trace holds N bytes),
// port=N (the guest's).
type script struct {
	guestISN, peerISN uint32
	events            []wire.Event
	at                time.Duration
}

var (
	guestAddr = netip.MustParseAddr("10.0.0.2")
	peerAddr  = netip.MustParseAddr("10.0.0.1")
)

func play(text string) []wire.Event {
	s := &script{guestISN: 0xfffffc00, peerISN: 0x7ffffff0}
	s.play(text)
	return s.events
}

func (s *script) play(text string) *script {
	for line := range strings.Lines(text) {
		if line, _, _ = strings.Cut(strings.TrimSpace(line), "//"); line != "" {
			s.line(strings.Fields(line))
		}
	}
	return s
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

func pair(s string) (a, b int64) {
	x, y, _ := strings.Cut(s, ":")
	return must(strconv.ParseInt(x, 10, 64)), must(strconv.ParseInt(y, 10, 64))
}

func (s *script) line(w []string) {
	if rest, ok := strings.CutPrefix(w[0], "+"); ok {
		s.at += seconds(rest)
	} else {
		s.at = seconds(w[0])
	}
	e := wire.Event{N: int64(len(s.events)), At: s.at, Dir: wire.FromGuest}
	mine, theirs := s.guestISN, s.peerISN
	if w[1] == "<" {
		e.Dir = wire.ToGuest
		mine, theirs = theirs, mine
	}
	f := tcpFrame{flags: flagsOf(w[2]), win: 1000, port: 40000, out: e.Dir == wire.FromGuest}
	start, end := pair(w[3])
	f.seq = mine + uint32(start)
	n, from := end-start, start
	if f.flags.Has(wire.SYN) {
		n, from = n-1, start+1
	}
	if f.flags.Has(wire.FIN) {
		n--
	}
	for i := range n {
		f.payload = append(f.payload, byteAt(from+i))
	}
	passed, corrupt, short := []wire.Passed{{At: s.at}}, false, 0
	for i := 4; i < len(w); i++ {
		word, value, _ := strings.Cut(w[i], "=")
		next := func() string { i++; return w[i] }
		switch word {
		case "ack":
			f.ack = theirs + uint32(must(strconv.ParseInt(next(), 10, 64)))
		case "win":
			f.win = uint16(must(strconv.ParseUint(next(), 10, 16)))
		case "sack":
			for _, b := range strings.Split(next(), ",") {
				x, y := pair(b)
				f.sack = append(f.sack, theirs+uint32(x), theirs+uint32(y))
			}
		case "mss":
			f.options = binary.BigEndian.AppendUint16(append(f.options, 2, 4), uint16(must(strconv.ParseUint(next(), 10, 16))))
		case "sackOK":
			f.options = append(f.options, 1, 1, 4, 2)
		case "wscale":
			f.options = append(f.options, 1, 3, 3, byte(must(strconv.ParseUint(next(), 10, 8))))
		case "ts":
			x, y := pair(next())
			f.options = binary.BigEndian.AppendUint32(append(f.options, 1, 1, 8, 10), uint32(x))
			f.options = binary.BigEndian.AppendUint32(f.options, uint32(y))
		case "seq":
			f.seq = uint32(must(strconv.ParseUint(next(), 10, 32)))
		case "lost":
			passed = nil
		case "late":
			passed[0].At += seconds(value)
		case "badsum":
			f.badsum = true
		case "corrupt":
			corrupt = true
		case "broken":
			f.options[3] = 60
		case "other":
			f.payload[len(f.payload)/2] ^= 0x55
		case "short":
			short = must(strconv.Atoi(value))
		case "port":
			f.port = uint16(must(strconv.Atoi(value)))
		default:
			panic(fmt.Sprintf("%q in %q", w[i], w))
		}
	}
	e.Frame = f.bytes()
	e.Length = len(e.Frame)
	if corrupt {
		bad := append([]byte(nil), e.Frame...)
		bad[len(bad)-1] ^= 1
		passed[0].Frame = bad
	}
	if short > 0 {
		e.Frame = e.Frame[:short]
	}
	e.Passed = passed
	s.events = append(s.events, e)
}

// byteAt is the byte at an offset of every stream of a script.
func byteAt(off int64) byte { return byte(off*7 + off>>8) }

// stream is these bytes as they were to be sent: byte 0 is offset 1.
type stream struct{}

func (stream) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		b[i] = byteAt(off + 1 + int64(i))
	}
	return len(b), nil
}

func flagsOf(s string) (f wire.Flags) {
	for _, c := range s {
		f |= map[rune]wire.Flags{'S': wire.SYN, 'F': wire.FIN, 'R': wire.RST, 'P': wire.PSH, 'U': wire.URG, '.': wire.ACK}[c]
	}
	return f
}

type tcpFrame struct {
	out      bool
	port     uint16
	seq, ack uint32
	flags    wire.Flags
	win      uint16
	options  []byte
	sack     []uint32
	payload  []byte
	badsum   bool
}

func (f *tcpFrame) bytes() []byte {
	o := f.options
	if len(f.sack) > 0 {
		o = append(o, 1, 1, 5, byte(2+4*len(f.sack)))
		for _, v := range f.sack {
			o = binary.BigEndian.AppendUint32(o, v)
		}
	}
	for len(o)%4 != 0 {
		o = append(o, 0)
	}
	src, dst, sport, dport := guestAddr, peerAddr, f.port, uint16(80)
	if !f.out {
		src, dst, sport, dport = dst, src, dport, sport
	}
	tcp := make([]byte, 20, 20+len(o)+len(f.payload))
	binary.BigEndian.PutUint16(tcp, sport)
	binary.BigEndian.PutUint16(tcp[2:], dport)
	binary.BigEndian.PutUint32(tcp[4:], f.seq)
	binary.BigEndian.PutUint32(tcp[8:], f.ack)
	tcp[12], tcp[13] = byte((20+len(o))/4)<<4, byte(f.flags)
	binary.BigEndian.PutUint16(tcp[14:], f.win)
	tcp = append(append(tcp, o...), f.payload...)
	sum := wire.Checksum(wire.PseudoHeader(src, dst, wire.ProtoTCP, len(tcp)), tcp)
	if f.badsum {
		sum ^= 0x1111
	}
	binary.BigEndian.PutUint16(tcp[16:], sum)
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, wire.ProtoTCP
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(tcp)))
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], wire.Checksum(0, ip))
	frame := append(make([]byte, 12), 0x08, 0)
	return append(append(frame, ip...), tcp...)
}
