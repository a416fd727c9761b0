package plot

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		from, to, least float64
		n               int
		want            []string
		write           func(v, step float64) string
	}{
		{0, 1, 1e-9, 10, []string{"0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"}, secondsTick},
		{1.0995, 1.1005, 1e-9, 5, []string{"1.0996", "1.0998", "1.1000", "1.1002", "1.1004"}, secondsTick},
		{0, 63, 1e-9, 7, []string{"0", "10", "20", "30", "40", "50", "60"}, secondsTick},
		{-1, 1.5, 1, 8, []string{"-1", "0", "1"}, func(v, s float64) string { return bytesTick(v, s, 1.5) }},
		{-1, 8761, 1, 4, []string{"0", "5000"}, func(v, s float64) string { return bytesTick(v, s, 8761) }},
		{0, 3e6, 1, 3, []string{"0", "1 M", "2 M", "3 M"}, func(v, s float64) string { return bytesTick(v, s, 3e6) }},
		{0, 60000, 1, 6, []string{"0", "10 k", "20 k", "30 k", "40 k", "50 k", "60 k"}, func(v, s float64) string { return bytesTick(v, s, 60000) }},
		{2.1e9, 2.1000001e9, 1, 2, []string{"2.10000000 G", "2.10000005 G", "2.10000010 G"}, func(v, s float64) string { return bytesTick(v, s, 2.1e9) }},
	} {
		a := newAxis(tt.from, tt.to, 1e-9, 0, 100)
		step := a.step(tt.n, tt.least)
		var got []string
		for _, v := range a.ticks(step) {
			got = append(got, tt.write(v, step))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v to %v (-want +got):\n%s", tt.from, tt.to, diff)
		}
	}
}

// TestThinLeavesNothingOut: whatever was drawn still is, some pixels off at most.
func TestThinLeavesNothingOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pixel := rapid.Float64Range(0, 900)
		bars := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bar {
			y := pixel.Draw(t, "y")
			return bar{pixel.Draw(t, "x"), y, y + rapid.Float64Range(0, 50).Draw(t, "height")}
		}), 0, 60).Draw(t, "bars")
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		out := thin(slices.Clone(bars), limit)
		if len(out) > limit {
			t.Fatalf("%d bars, at most %d were asked for", len(out), limit)
		}
		for _, b := range bars {
			if !slices.ContainsFunc(out, func(o bar) bool { return o.top <= b.top && o.bottom >= b.bottom }) {
				t.Fatalf("%+v is not there: %+v", b, out)
			}
		}
		groups := grouped(len(bars), limit, func(i int) bar { return bars[i] })
		var all []int32
		for _, g := range groups {
			all = append(all, g.members...)
			for _, i := range g.members {
				if b := bars[i]; g.top > b.top || g.bottom < b.bottom {
					t.Fatalf("%+v is not in %+v", b, g)
				}
			}
		}
		slices.Sort(all)
		if len(groups) > limit || len(all) != len(bars) || len(slices.Compact(all)) != len(bars) {
			t.Fatalf("%d groups of %v", len(groups), all)
		}
	})
}

// TestSteps: the line is at the last height of each column, and was at its extremes.
func TestSteps(t *testing.T) {
	var s steps
	for _, p := range [][2]float64{{0, 10}, {5, 10}, {6, 4}, {6.1, 8}, {6.2, 2}, {6.3, 6}, {9, 6}, {9.9, 7}} {
		s.to(p[0], p[1])
	}
	if got, want := s.end(20), "M0 10H6V2V6H9.5V7H20"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", -0.01: "0", 1.25: "1.2", 100: "100", -3.14: "-3.1", math.Inf(1): "0", math.NaN(): "0"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

// hostile makes a trace of arbitrary bytes: 16 for each frame, with all that a frame and
// the wire can do.
func hostile(b []byte) *wire.Trace {
	t := &wire.Trace{Left: int64(len(b) % 16)}
	at := time.Duration(0)
	for ; len(b) >= 16; b = b[16:] {
		e := scripted([]string{"0", "><"[b[0]&1 : b[0]&1+1], ".", "0:0"}, int64(len(t.Events)))
		at += time.Duration(int16(binary.BigEndian.Uint16(b[1:]))) * time.Microsecond << (b[0] >> 4)
		e.At = at
		var p wire.Packet
		p.Decode(e.Frame)
		p.TCP.Flags = wire.Flags(b[3])
		p.TCP.Seq = wire.Seq(binary.BigEndian.Uint32(b[4:])) >> (b[0] & 6)
		p.TCP.Ack = wire.Seq(binary.BigEndian.Uint32(b[8:])) >> (b[0] & 6)
		p.TCP.Window = binary.BigEndian.Uint16(b[12:])
		p.TCP.Payload = make([]byte, int(b[14])*8)
		if p.TCP.Flags.Has(wire.SYN) {
			p.TCP.Options = wire.Options{HasScale: b[15]&1 != 0, Scale: b[15]}
		} else if b[15]&2 != 0 {
			p.TCP.Options.SetSACK(wire.Block{Start: p.TCP.Ack + wire.Seq(b[15]), End: p.TCP.Seq}, wire.Block{Start: p.TCP.Ack, End: p.TCP.Ack + 1000})
		}
		e.Frame = p.Append(nil)
		e.Length = len(e.Frame)
		e.Passed = e.Passed[:0]
		for i := range b[15] >> 2 & 3 {
			e.Passed = append(e.Passed, wire.Passed{At: at + time.Duration(b[15])<<(8*i)})
		}
		if b[15]&16 != 0 && len(e.Passed) > 0 {
			e.Passed[0].Frame = e.Frame[:len(e.Frame)/2]
		}
		if b[15]&32 != 0 {
			e.Frame = e.Frame[:min(len(e.Frame), 20+int(b[14]))]
		}
		e.Rules = []string{string(b[:8]) + "</title><script>"}
		t.Events = append(t.Events, e)
	}
	return t
}

// FuzzPicture: whatever a guest sends, the picture is well-formed, small, and holds
// nothing that runs.
func FuzzPicture(f *testing.F) {
	f.Add([]byte(strings.Repeat("0123456789abcdef", 20)))
	f.Add([]byte(strings.Repeat("\x00\x00\x10\x18\x00\x00\x10\x00\x00\x00\x01\x00\x00\x10\x20\x04", 9)))
	f.Fuzz(func(t *testing.T, b []byte) {
		trace := hostile(b)
		for _, p := range Pictures(trace, judge.Analyze(trace.Events, judge.FreeBSD(1000), judge.Expect{})) {
			svg := draw(t, p, Options{Width: len(b), Height: 3 * len(b)})
			if counts := shape(t, svg); counts["re"] != p.Resent || counts["lost"] != p.Dropped || counts["find"] != p.Findings {
				t.Errorf("%v, want %d sent again, %d dropped, %d findings", counts, p.Resent, p.Dropped, p.Findings)
			}
			if len(svg) > 1<<20 {
				t.Errorf("%d bytes", len(svg))
			}
		}
	})
}

// TestCrowdedWords: words that would hide each other move apart, and there is an end.
func TestCrowdedWords(t *testing.T) {
	var b strings.Builder
	b.WriteString(opened)
	for i := range 100 {
		b.WriteString("0.1 < R. 1:1 win 0\n0.1" + strings.Repeat("0", i%3) + "1 > FS. 1:3 ack 1\n")
	}
	svgs := 0
	for _, p := range Pictures(play(b.String()), nil) {
		svg := draw(t, p, Options{})
		shape(t, svg)
		if n := strings.Count(svg, `class="word"`); n > maxLabels {
			t.Errorf("%d words", n)
		}
		svgs++
	}
	if svgs == 0 {
		t.Error("no picture")
	}
}
