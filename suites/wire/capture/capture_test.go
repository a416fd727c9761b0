package capture

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"
	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/suites/wire"
)

func anyTrace(t *rapid.T) *wire.Trace {
	frame := rapid.SliceOfN(rapid.Byte(), 1, 200)
	at := rapid.Int64Range(0, int64(time.Hour))
	tr := &wire.Trace{Start: time.Unix(0, rapid.Int64Range(1e18, 2e18).Draw(t, "start")).UTC()}
	for n := range rapid.IntRange(0, 20).Draw(t, "n") {
		e := wire.Event{
			N: int64(n), NIC: rapid.IntRange(0, 2).Draw(t, "nic"), Dir: rapid.SampledFrom([]wire.Direction{wire.FromGuest, wire.ToGuest}).Draw(t, "dir"),
			At: time.Duration(at.Draw(t, "at")), Frame: frame.Draw(t, "frame"), Stream: rapid.IntRange(0, 3).Draw(t, "stream"),
		}
		e.Length = len(e.Frame) + rapid.IntRange(0, 9).Draw(t, "cut")
		for range rapid.IntRange(0, 3).Draw(t, "copies") {
			p := wire.Passed{At: time.Duration(at.Draw(t, "passed"))}
			if rapid.Bool().Draw(t, "changed") {
				p.Frame = frame.Draw(t, "as")
			}
			e.Passed = append(e.Passed, p)
		}
		for _, r := range []string{"drop it", "1:2", wire.OwnFull} {
			if rapid.Bool().Draw(t, r) {
				e.Rules = append(e.Rules, r)
			}
		}
		tr.Events = append(tr.Events, e)
		tr.Frames++
	}
	return tr
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyTrace(t)
		var file bytes.Buffer
		if err := Write(&file, want); err != nil {
			t.Fatal(err)
		}
		whole := file.Bytes()
		got, err := Read(bytes.NewReader(whole))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		cut := rapid.IntRange(0, len(whole)).Draw(t, "cut")
		some, err := Read(bytes.NewReader(whole[:cut]))
		if len(some.Events) > len(want.Events) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut to %d of %d bytes: %d events, %v", cut, len(whole), len(some.Events), err)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, t := range []*wire.Trace{{}, sample()} {
		var file bytes.Buffer
		if err := Write(&file, t); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := Read(bytes.NewReader(b))
		if err != nil && !errors.Is(err, ErrCapture) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if tr == nil {
			t.Error("no trace")
		}
	})
}

func sample() *wire.Trace {
	p := wire.Packet{EtherType: wire.EtherIPv4, Proto: wire.ProtoTCP, IsTCP: true}
	p.Src, p.Dst = netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.1")
	p.TCP = wire.Segment{SrcPort: 1, DstPort: 80, Seq: 7, Flags: wire.ACK, Payload: []byte("twelve bytes")}
	frame := p.Append(nil)
	changed := bytes.Clone(frame)
	changed[len(changed)-1] ^= 1
	return &wire.Trace{Start: time.Unix(1700000000, 123456789).UTC(), Frames: 3, Events: []wire.Event{
		{N: 0, Dir: wire.FromGuest, At: time.Millisecond, Frame: frame, Length: len(frame), Passed: []wire.Passed{{At: 2 * time.Millisecond}}, Stream: 1},
		{N: 1, Dir: wire.FromGuest, At: 3 * time.Millisecond, Frame: frame, Length: len(frame), Rules: []string{"drop it"}, Stream: 1},
		{N: 2, NIC: 1, Dir: wire.ToGuest, At: 4 * time.Millisecond, Frame: frame, Length: len(frame), Rules: []string{"flip", "late"}, Stream: 2,
			Passed: []wire.Passed{{At: 5*time.Millisecond + 1, Frame: changed}, {At: 6 * time.Millisecond, Frame: changed}}},
	}}
}

// TestOtherReader reads with another implementation of the format.
func TestOtherReader(t *testing.T) {
	tr := sample()
	var file bytes.Buffer
	if err := Write(&file, tr); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		data, ci, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		i, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != ci.Length {
			t.Errorf("%d of %d bytes", len(data), ci.Length)
		}
		got = append(got, i.Name+" "+ci.Timestamp.Sub(tr.Start).String())
	}
	want := "nic0-guest 1ms, nic0-peer 2ms, nic0-guest 3ms, nic1-peer 4ms, nic1-guest 5.000001ms, nic1-guest 6ms"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TestTools has the usual tools read a capture, without a complaint.
func TestTools(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sample.pcapng")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Write(f, sample()), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		tool string
		args []string
		want []string
	}{
		{"tcpdump", []string{"-nr", file}, []string{"10.77.0.2.1 > 10.77.0.1.80"}},
		{"tshark", []string{"-nr", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"}, []string{"nic1-guest", "event 1; stream 1; dropped; rules: drop it", "copy of 2; changed"}},
	} {
		t.Run(tt.tool, func(t *testing.T) {
			if _, err := exec.LookPath(tt.tool); err != nil {
				t.Skipf("%s is not installed", tt.tool)
			}
			out, err := exec.CommandContext(t.Context(), tt.tool, tt.args...).CombinedOutput()
			for _, want := range tt.want {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%v, want %q in:\n%s", err, want, out)
				}
			}
		})
	}
}
