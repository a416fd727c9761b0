package tcp

import (
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// closedWindow is a stream whose window of 1000 bytes closes at 1 s and opens at 31 s,
// with probes at these times, in seconds, and the first data at resumed.
func closedWindow(resumed float64, at ...float64) *judge.Stream {
	sec := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	s := &judge.Stream{
		Heard: []judge.Heard{{At: sec(0.1), Flags: wire.ACK, Ack: 1, Edge: 1001}, {At: sec(1), Flags: wire.ACK, Ack: 1001, Edge: 1001}},
		Sent:  []judge.Sent{{At: sec(0.2), Start: 1, End: 1001}, {At: sec(1.01), Start: 1001, End: 1001}},
	}
	for i, t := range at {
		probe := judge.Sent{At: sec(t), Start: 1000, End: 1000} // Linux
		if i%2 == 1 {
			probe = judge.Sent{At: sec(t), Start: 1001, End: 1002} // FreeBSD
		}
		s.Sent = append(s.Sent, probe)
		s.Heard = append(s.Heard, judge.Heard{At: sec(t) + time.Millisecond, Flags: wire.ACK, Ack: 1001, Edge: 1001})
	}
	s.Heard = append(s.Heard, judge.Heard{At: sec(31), Flags: wire.ACK, Ack: 1001, Edge: 66536})
	if resumed > 0 {
		s.Sent = append(s.Sent, judge.Sent{At: sec(resumed), Start: 1001, End: 2001})
	}
	return s
}

func TestProbesOfAClosedWindow(t *testing.T) {
	freebsd, linux := judge.FreeBSD(1000), judge.Linux()
	for _, c := range []struct {
		name   string
		os     string
		stream *judge.Stream
		want   string
	}{
		{"FreeBSD on a short path", "freebsd", closedWindow(31.001, 6, 11, 16, 21.1, 26.1), ""},
		{"FreeBSD on a long one", "freebsd", closedWindow(31.001, 6, 16), ""},
		{"FreeBSD, too early", "freebsd", closedWindow(31.001, 3, 8), "probe 1 of a closed window came 2.000 s after what was before it, want 4.387 to 7.613 s: probes back off by doubling"},
		{"FreeBSD, no back-off", "freebsd", closedWindow(31.001, 6, 7, 8), "probe 2 of a closed window came 1.000 s after what was before it, want 4.387 to 15.113 s: probes back off by doubling"},
		{"FreeBSD, off the floor", "freebsd", closedWindow(31.001, 6, 14, 20), "probe 3 of a closed window came 6.000 s after what was before it, want 13.487 to 24.113 s: probes back off by doubling"},
		{"Linux", "linux", closedWindow(31.001, 1.21, 1.63, 2.44, 4.1, 7.3, 13.8, 26.9), ""},
		{"Linux without back-off", "linux", closedWindow(31.001, 1.21, 1.63, 2.05, 2.47), "probe 3 of a closed window came 0.420 s after what was before it, want 0.584 to 1.390 s: probes back off by doubling"},
		{"Linux that stops", "linux", closedWindow(31.001, 1.21, 1.63, 2.44), "3 probes of a window that was closed for 30.0 s, want 4 at least"},
		{"never", "freebsd", closedWindow(31.001), "0 probes of a window that was closed for 30.0 s, want 2 at least"},
		{"it waits for the next probe", "freebsd", closedWindow(36, 6, 11, 16), "the window was opened, and the first segment came 5.000 s later, want 1s at most"},
		{"it is stuck", "freebsd", closedWindow(0, 6, 11, 16), "the window was opened, and nothing more was sent"},
	} {
		profile := &freebsd
		if c.os == "linux" {
			profile = &linux
		}
		p := probing(c.stream)
		_, reason := suites.Classify(p.judge(persistTimers[c.os], profile))
		if reason != c.want {
			t.Errorf("%s: %q, want %q", c.name, reason, c.want)
		}
	}
}
