package smoke

import (
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/smoke/guest"
)

// check compares what a judge said: an empty reason is a pass, one that starts
// with "broken: " is the rig's fault.
func check(t *testing.T, name string, err error, want string) {
	t.Helper()
	status, reason := suites.Classify(err)
	got := map[suites.Status]string{suites.Failed: "", suites.Broken: "broken: ", suites.Passed: ""}[status] + reason
	if got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func readings(from, to time.Duration) guest.ClockReadings {
	return guest.ClockReadings{
		Before: guest.Clocks{Monotonic: int64(from), Wall: int64(from + time.Hour)},
		After:  guest.Clocks{Monotonic: int64(to), Wall: int64(to + time.Hour)},
	}
}

func TestJudgeClock(t *testing.T) {
	const ms = time.Millisecond
	good := func() clockSample {
		return clockSample{readings(0, 200*ms), readings(1250*ms, 1450*ms), 1000 * ms, 1500 * ms}
	}
	for name, c := range map[string]struct {
		change func(*clockSample)
		want   string
	}{
		"good":           {func(*clockSample) {}, ""},
		"busy host":      {func(s *clockSample) { s.most = time.Minute }, ""},
		"monotonic back": {func(s *clockSample) { s.second.MonotonicBack = 5 }, "the monotonic clock went back by 5ns"},
		"wall back":      {func(s *clockSample) { s.first.WallBack = int64(3 * ms) }, "the wall clock went back by 3ms"},
		"wall slewed":    {func(s *clockSample) { s.first.WallBack = 100 }, ""},
		"short sleep": {func(s *clockSample) { s.first.After.Monotonic = int64(150 * ms) },
			"a sleep of 200ms took 150ms by the monotonic clock"},
		"slow": {func(s *clockSample) { s.second = readings(210*ms, 420*ms) },
			"the monotonic clock is slow: it advanced by 420ms while at least 1s passed on the host"},
		"fast": {func(s *clockSample) { s.second = readings(4000*ms, 4200*ms) },
			"the monotonic clock is fast: it advanced by 4.2s while at most 1.5s passed on the host"},
		"wall stands still": {func(s *clockSample) { s.second.After.Wall = s.first.Before.Wall },
			"the wall clock is slow: it advanced by 0s while at least 1s passed on the host"},
		"wall jumps": {func(s *clockSample) { s.second.After.Wall += int64(time.Hour) },
			"the wall clock is fast: it advanced by 1h0m1.45s while at most 1.5s passed on the host"},
		"apart": {func(s *clockSample) { s.second.After.Wall -= int64(400 * ms) },
			"the clocks disagree: monotonic advanced by 1.45s, wall by 1.05s"},
	} {
		s := good()
		c.change(&s)
		check(t, name, judgeClock(s), c.want)
	}
}

func TestJudgeCPUs(t *testing.T) {
	ran := func(cpu int, saw ...int) guest.CPURun { return guest.CPURun{CPU: cpu, Saw: saw} }
	for name, c := range map[string]struct {
		saw  guest.CPUs
		want string
	}{
		"good":        {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0, 0, 0), ran(1, 1)}}, ""},
		"no getcpu":   {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0, -1), ran(1, -1)}}, ""},
		"one offline": {guest.CPUs{Online: []int{0}, Tried: []guest.CPURun{ran(0, 0), {CPU: 1, Refused: "EINVAL"}}}, "CPU 1 of 2 is not online"},
		"too many":    {guest.CPUs{Online: []int{0, 1, 2}, Tried: []guest.CPURun{ran(0, 0), ran(1, 1)}}, "3 CPUs are online, the machine has 2"},
		"refused":     {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0, 0), {CPU: 1, Refused: "EINVAL"}}}, "CPU 1 of 2: a thread cannot be bound to it: EINVAL"},
		"strayed":     {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0, 0), ran(1, 1, 0)}}, "CPU 1 of 2: a thread bound to it ran on CPU 0"},
		"not tried":   {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0, 0)}}, "broken: agent tried 1 CPUs of 2"},
		"other tried": {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0, 0), ran(5, 5)}}, "broken: agent tried CPU 5 when CPU 1 was due"},
		"not seen":    {guest.CPUs{Online: []int{0, 1}, Tried: []guest.CPURun{ran(0), ran(1, 1)}}, "broken: agent saw nothing of CPU 0"},
	} {
		check(t, name, judgeCPUs(2, c.saw), c.want)
	}
}

func TestJudgeMemory(t *testing.T) {
	whole := guest.MemoryRead{Words: 131072}
	bad := guest.MemoryRead{Words: 131072, Wrong: 2, FirstOffset: 4096, FirstWant: 0xAB, FirstGot: 0xAA}
	for name, c := range map[string]struct {
		saw  guest.Memory
		want string
	}{
		"good":    {guest.Memory{Private: whole, Shared: whole}, ""},
		"private": {guest.Memory{Private: bad, Shared: whole}, "private memory lost 2 of 131072 words, the first at byte 4096: 0x00000000000000aa instead of 0x00000000000000ab"},
		"shared":  {guest.Memory{Private: whole, Shared: bad}, "shared memory lost 2 of 131072 words, the first at byte 4096: 0x00000000000000aa instead of 0x00000000000000ab"},
		"unread":  {guest.Memory{Private: whole}, "broken: agent read 0 of 131072 words of shared memory"},
	} {
		check(t, name, judgeMemory(guest.MemoryArgs{MiB: 1}, c.saw), c.want)
	}
}

func TestJudgeFilesystem(t *testing.T) {
	args := guest.FilesystemArgs{Seed: 3, Bytes: 1000, Truncate: 10}
	good := func() guest.Filesystem {
		return guest.Filesystem{
			Size: 1000, Digest: guest.Digest(guest.Pattern(3, 1000)), OldName: "ENOENT",
			Names: []string{"link", "moved"}, Links: 2, SameFile: true,
			CutSize: 10, CutDigest: guest.Digest(guest.Pattern(3, 10)),
			NamesUnlinked: []string{"link"}, LinksUnlinked: 1,
		}
	}
	for want, change := range map[string]func(*guest.Filesystem){
		"": func(*guest.Filesystem) {},
		"a file of 1000 bytes has size 999 after fsync":                                         func(f *guest.Filesystem) { f.Size = 999 },
		"the old name still opens after a rename":                                               func(f *guest.Filesystem) { f.OldName = "" },
		"the old name after a rename: EIO instead of ENOENT":                                    func(f *guest.Filesystem) { f.OldName = "EIO" },
		"a file of 1000 bytes reads back with other contents":                                   func(f *guest.Filesystem) { f.Digest = "x" },
		`the folder lists ["moved"] after a rename and a hard link instead of ["link" "moved"]`: func(f *guest.Filesystem) { f.Names = f.Names[1:] },
		"a hard link is another file":                                                           func(f *guest.Filesystem) { f.SameFile = false },
		"link count is 1 with two names":                                                        func(f *guest.Filesystem) { f.Links = 1 },
		"a file cut to 10 bytes has size 1000 by its other name":                                func(f *guest.Filesystem) { f.CutSize = 1000 },
		"a file cut to 10 bytes reads back with other contents":                                 func(f *guest.Filesystem) { f.CutDigest = "x" },
		`the folder lists [] after an unlink instead of ["link"]`:                               func(f *guest.Filesystem) { f.NamesUnlinked = nil },
		"link count is 2 with one name":                                                         func(f *guest.Filesystem) { f.LinksUnlinked = 2 },
		`the folder lists ["link"] after the last unlink`:                                       func(f *guest.Filesystem) { f.NamesAfter = []string{"link"} },
	} {
		f := good()
		change(&f)
		check(t, want, judgeFilesystem(args, f), want)
	}
}

func TestJudgeLoopback(t *testing.T) {
	args := guest.LoopbackArgs{Seed: 9, Up: []int{100, 200}, Down: []int{300, 400}, StallS: 15}
	received := func(seed uint64, n int) guest.Received {
		return guest.Received{Bytes: n, Digest: guest.Digest(guest.Pattern(seed, n)), Ended: true}
	}
	good := func() guest.Loopback {
		return guest.Loopback{ServerPort: 80, Connections: []guest.Connection{
			{ClientPort: 1001, Up: received(9, 100), Down: received(10, 300)},
			{ClientPort: 1002, Up: received(11, 200), Down: received(12, 400)},
		}}
	}
	for want, change := range map[string]func(*guest.Loopback){
		"": func(*guest.Loopback) {},
		"broken: IPv4: agent reports 1 of 2 connections": func(l *guest.Loopback) { l.Connections = l.Connections[:1] },
		"IPv4 connection 2 of 2: connect: no answer within 15 s": func(l *guest.Loopback) {
			l.Connections[1] = guest.Connection{Down: guest.Received{Stalled: true}}
		},
		"IPv4 connection 1 of 2: got local port 0, the server's is 80":  func(l *guest.Loopback) { l.Connections[0].ClientPort = 0 },
		"IPv4 connection 1 of 2: got local port 80, the server's is 80": func(l *guest.Loopback) { l.Connections[0].ClientPort = 80 },
		"IPv4 connection 1 of 2: client: nothing arrived for 15 s after 7 of 300 bytes": func(l *guest.Loopback) {
			l.Connections[0].Down = guest.Received{Bytes: 7, Stalled: true}
		},
		"IPv4 connection 2 of 2: server: received 199 of 200 bytes":              func(l *guest.Loopback) { l.Connections[1].Up.Bytes-- },
		"IPv4 connection 2 of 2: server: received 200 bytes with other contents": func(l *guest.Loopback) { l.Connections[1].Up.Digest = "x" },
		"IPv4 connection 2 of 2: client: the stream was not closed in order":     func(l *guest.Loopback) { l.Connections[1].Down.Ended = false },
	} {
		l := good()
		change(&l)
		check(t, want, judgeLoopback("IPv4", args, l), want)
	}
}

func TestJudgeLongSleep(t *testing.T) {
	readings := func(mono, wall, back time.Duration) guest.ClockReadings {
		return guest.ClockReadings{After: guest.Clocks{Monotonic: int64(mono), Wall: int64(wall)}, MonotonicBack: int64(back)}
	}
	const hour = time.Hour
	for want, r := range map[string]guest.ClockReadings{
		"":                    readings(hour+time.Millisecond, hour, 0),
		"went back by 1ns":    readings(hour, hour, 1),
		"took 59m59.999s by":  readings(hour-time.Millisecond, hour, 0),
		"it ended late":       readings(hour+2*time.Second, hour+2*time.Second, 0),
		"the clocks disagree": readings(hour, hour+2*time.Second, 0),
	} {
		err := judgeLongSleep(r)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
