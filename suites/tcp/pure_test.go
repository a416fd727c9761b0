package tcp

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// series makes the samples of 3n rounds in steps of n/2.
func series(n int, at func(round int) int64) (samples []Sample) {
	for round := 0; round <= 3*n; round += n / 2 {
		samples = append(samples, Sample{round, map[string]int64{"zone tcpcb": at(round), "zone 16_Bucket": int64(round), "zone still": 7}})
	}
	return samples
}

func TestLeaks(t *testing.T) {
	noise := rand.New(rand.NewPCG(3, 4))
	for name, c := range map[string]struct {
		n    int
		at   func(round int) int64
		want string
	}{
		"nothing":                {300, func(int) int64 { return 40 }, ""},
		"one a round":            {300, func(r int) int64 { return int64(r) }, "zone tcpcb: 900 items more in use, 1 of a round"},
		"two in three rounds":    {300, func(r int) int64 { return 10 + int64(r)*2/3 }, "zone tcpcb: 600 items more in use, 0.667 of a round"},
		"one in ten rounds":      {300, func(r int) int64 { return int64(r) / 10 }, "zone tcpcb: 90 items more in use, 0.1 of a round"},
		"a leak in noise":        {300, func(r int) int64 { return int64(r)/5 + noise.Int64N(30) }, "zone tcpcb"},
		"one in a hundred":       {300, func(r int) int64 { return int64(r) / 100 }, ""},
		"one in a hundred, long": {2000, func(r int) int64 { return int64(r) / 100 }, ""},
		"one in ten, long":       {2000, func(r int) int64 { return int64(r) / 10 }, "zone tcpcb: 600 items more in use, 0.1 of a round"},
		"a pool that fills":      {300, func(r int) int64 { return min(int64(r), 250) }, ""},
		"a table that doubles":   {300, func(r int) int64 { return map[bool]int64{true: 512, false: 256}[r > 500] }, ""},
		"only at the end":        {300, func(r int) int64 { return map[bool]int64{true: 100}[r > 800] }, ""},
		"it gives back":          {300, func(r int) int64 { return 1000 - int64(r) }, ""},
		"noise":                  {300, func(int) int64 { return noise.Int64N(60) }, ""},
	} {
		var told []string
		for _, l := range Leaks(series(c.n, c.at), c.n) {
			told = append(told, l.String())
		}
		if got := strings.Join(told, "; "); got != c.want && !(c.want == "zone tcpcb" && strings.HasPrefix(got, c.want) && len(told) == 1) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if l := Leaks(series(300, func(r int) int64 { return int64(r) })[:3], 300); l != nil {
		t.Errorf("three samples say %v", l)
	}
}

// Noise as caches of CPUs make it is no leak, in ten thousand series.
func TestNoiseLeaksNothing(t *testing.T) {
	noise := rand.New(rand.NewPCG(5, 6))
	found := 0
	for range 10_000 {
		walk := int64(0)
		samples := series(300, func(int) int64 {
			walk = max(-30, min(30, walk+noise.Int64N(21)-10))
			return 500 + walk
		})
		found += len(Leaks(samples, 300))
	}
	if found > 1 { // and each is looked for again
		t.Errorf("%d leaks in noise of 30 items", found)
	}
}

func TestTheilSen(t *testing.T) {
	samples := series(300, func(r int) int64 { return int64(r) * 3 })
	samples[3].InUse["zone tcpcb"] = 1e6 // one that is far off does not matter
	if s := theilSen(samples, "zone tcpcb"); s != 3 {
		t.Errorf("slope %v, want 3", s)
	}
	if s := theilSen(samples[:1], "zone tcpcb"); s != 0 {
		t.Errorf("slope of one sample %v", s)
	}
}

func TestModel(t *testing.T) {
	fast := path{rate: 1e12, rtt: 20 * time.Millisecond, mss: 1460, head: 54, first: 10, window: 1000}
	slow := path{rate: 10_000_000, rtt: 20 * time.Millisecond, mss: 1460, head: 54, first: 10, window: 179}
	small := fast
	small.window = 1
	for _, c := range []struct {
		name  string
		path  path
		bytes int64
		want  time.Duration
		slack time.Duration
	}{
		{"a segment: handshake and half a round trip", fast, 1, 30 * time.Millisecond, time.Microsecond},
		{"the first window", fast, 10 * 1460, 30 * time.Millisecond, time.Microsecond},
		{"one more: another round trip", fast, 11 * 1460, 50 * time.Millisecond, time.Microsecond},
		{"10, then 20, then 40 segments", fast, 70 * 1460, 70 * time.Millisecond, time.Microsecond},
		{"a segment a round trip", small, 100 * 1460, 30*time.Millisecond + 99*20*time.Millisecond, time.Millisecond},
		// 2873 frames of 1514 bytes take 3.479 s; 42 ms go before and behind.
		{"the link", slow, 4 << 20, 3521 * time.Millisecond, 10 * time.Millisecond},
	} {
		if got := c.path.completion(c.bytes); (got - c.want).Abs() > c.slack {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestJudgeLoss(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	stream := func(lost judge.Sent, heard []int, again ...judge.Sent) *judge.Stream {
		s := &judge.Stream{Sent: append([]judge.Sent{{Start: 0, End: 1}, lost}, again...)}
		for _, at := range heard {
			s.Heard = append(s.Heard, judge.Heard{At: ms(at), Ack: lost.Start})
		}
		for _, a := range again {
			s.Stats.Resends[a.Reason]++
		}
		return s
	}
	lost := judge.Sent{Start: 1461, End: 2921, Lost: true}
	good := judge.Sent{Start: 1461, End: 2921, Again: 1460, At: ms(45), Reason: judge.FastRetransmit}
	late, timer, other := good, good, good
	late.At, timer.At, timer.Reason, other.Start, other.End = ms(61), ms(300), judge.RTO, 2921, 4381
	heard := []int{20, 38, 39, 40, 41}
	for _, c := range []struct {
		name   string
		stream *judge.Stream
		want   string
	}{
		{"as it should", stream(lost, heard, good), ""},
		{"late", stream(lost, heard, late), "sent again (fast retransmit) 21.0 ms after the third duplicate ACK, want 20ms at most"},
		{"by the timer", stream(lost, heard, timer), "sent again (RTO) 260.0 ms after the third duplicate ACK, want 20ms at most"},
		{"twice", stream(lost, heard, good, late), "2 segments were sent again, want one"},
		{"another one", stream(lost, heard, other), "bytes 1461 to 2921 were lost, and 2921 to 4381 were sent again"},
		{"two duplicates", stream(lost, heard[:3], good), "sent again (fast retransmit) before the third duplicate ACK"},
		{"never", stream(lost, heard), "it came, though the lost segment was never sent again"},
		{"nothing lost", stream(judge.Sent{Start: 1, End: 9}, heard), "the guest sent fewer segments than 2: none was there to be lost"},
		{"no stream", nil, "nothing of it was on the wire"},
	} {
		_, err := judgeLoss(c.stream, loss{Active, 2})
		if got := fmt.Sprint(err); got != c.want && !(err == nil && c.want == "") {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	for draw := range dropSegments - 5 {
		for _, l := range losses(func(int) int { return draw }) {
			if l.segment < 1 || l.segment > dropSegments-3 {
				t.Errorf("segment %d: three others must follow", l.segment)
			}
		}
	}
}

func TestExcuse(t *testing.T) {
	busy, quiet := suites.Load{Starved: time.Second, Of: 2 * time.Second}, suites.Load{Starved: 100 * time.Millisecond, Of: 2 * time.Second}
	for _, c := range []struct {
		err  error
		load suites.Load
		want suites.Status
	}{
		{nil, busy, suites.Passed},
		{latef("late"), quiet, suites.Failed},
		{latef("late"), busy, suites.Broken},
		{within("NIC 0", latef("late")), busy, suites.Broken},
		{within("NIC 0", stallf("stalls")), busy, suites.Broken},
		{slowf("host"), quiet, suites.Broken},
		{suites.Failf("wrong bytes"), busy, suites.Failed},
		{within("NIC 0", suites.Failf("wrong bytes")), busy, suites.Failed},
		{suites.Skipf("no"), busy, suites.Skipped},
		{errors.New("rig"), quiet, suites.Broken},
	} {
		if status, reason := suites.Classify(excuse(c.err, c.load)); status != c.want {
			t.Errorf("%v, %v: %v %s", c.err, c.load, status, reason)
		}
	}
}

func TestConclude(t *testing.T) {
	e := func(codes ...judge.Code) *Evidence {
		a := &judge.Analysis{}
		for _, c := range codes {
			a.Findings = append(a.Findings, judge.Finding{Code: c, Text: "text"})
		}
		return &Evidence{Analysis: a}
	}
	for _, c := range []struct {
		name     string
		err      error
		evidence *Evidence
		status   suites.Status
		excused  suites.Status // on a host that is overloaded
		reason   string
	}{
		{"nothing", nil, e(), suites.Passed, suites.Passed, ""},
		{"a finding about time", nil, e(judge.LateRTO), suites.Failed, suites.Broken, "late-rto"},
		{"bytes first", nil, e(judge.LateRTO, judge.WrongContent), suites.Failed, suites.Failed, "0.000000s trace: wrong-content"},
		{"four of them", nil, e(judge.LateRTO, judge.LateRTO, judge.LateRTO, judge.LateRTO), suites.Failed, suites.Broken, "and 1 more findings"},
		{"the case's failure", suites.Failf("own"), e(judge.LateRTO), suites.Failed, suites.Failed, "own; on the wire: "},
		{"the peer's error alone", &peerError{errors.New("reset")}, e(), suites.Broken, suites.Broken, "reset"},
		{"the peer's error with a finding", &peerError{errors.New("reset")}, e(judge.BadRST), suites.Failed, suites.Failed, "bad-rst: text (RFC 9293 3.10.7); reset"},
		{"the agent's error with a finding", errors.New("agent lost"), e(judge.BadRST), suites.Broken, suites.Broken, "agent lost"},
	} {
		err := conclude(c.err, c.evidence, nil)
		if status, reason := suites.Classify(err); status != c.status || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %v %s", c.name, status, reason)
		}
		if status, reason := suites.Classify(excuse(err, suites.Load{Starved: 1, Of: 1})); status != c.excused {
			t.Errorf("%s, excused: %v %s", c.name, status, reason)
		}
	}
}

// settingsGuest has some sysctls.
type settingsGuest struct {
	suites.Guest
	values map[string]string
	sticky bool
	set    []string
}

func (g *settingsGuest) Call(_ context.Context, op string, args, result any) error {
	switch a := args.(type) {
	case kguest.SysctlsArgs:
		for _, name := range a.Names {
			if v, ok := g.values[name]; ok {
				r := result.(*kguest.Sysctls)
				r.Nodes = append(r.Nodes, kguest.Sysctl{Name: name, Kind: "string", Value: []byte(v + "\x00"), Size: len(v) + 1})
			}
		}
	case kguest.SysctlSetArgs:
		g.set = append(g.set, a.Name)
		if !g.sticky {
			g.values[a.Name] = a.Text
		}
	default:
		return fmt.Errorf("operation %s", op)
	}
	return nil
}

func TestPin(t *testing.T) {
	want := override([]Setting{{Name: "a", Value: "1"}, {Name: "b", Value: "new"}, {Name: "c", Value: "0", Optional: true}}, []Setting{{Name: "a", Value: "2"}})
	for _, c := range []struct {
		name  string
		guest settingsGuest
		set   int
		want  string
	}{
		{"as it is", settingsGuest{values: map[string]string{"a": "2", "b": "new"}}, 0, ""},
		{"one other", settingsGuest{values: map[string]string{"a": "1", "b": "new"}}, 1, ""},
		{"all other", settingsGuest{values: map[string]string{"a": "1", "b": "old", "c": "1"}}, 3, ""},
		{"one is not there", settingsGuest{values: map[string]string{"a": "2"}}, 0, "setting b: this kernel has none of that name"},
		{"it does not stay", settingsGuest{values: map[string]string{"a": "1", "b": "new"}, sticky: true}, 1, `setting a=2: it reads back as "1"`},
	} {
		err := pin(t.Context(), &c.guest, want)
		if got := fmt.Sprint(err); got != c.want && !(err == nil && c.want == "") || len(c.guest.set) != c.set {
			t.Errorf("%s: %v, set %v", c.name, err, c.guest.set)
		}
	}
}

func TestPinnedSettingsHaveReasons(t *testing.T) {
	for _, os := range []string{"linux", "freebsd"} {
		names := map[string]bool{}
		for _, s := range pinned(os) {
			if s.Name == "" || s.Value == "" || s.Why == "" || names[s.Name] {
				t.Errorf("%s: %+v", os, s)
			}
			names[s.Name] = true
		}
		if len(names) == 0 {
			t.Errorf("%s has none", os)
		}
	}
}

func TestDrawMask(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	seen := map[int]int{}
	for range 10_000 {
		m := drawMask(draw.IntN)
		holes := 0
		for i := range 64 {
			if m>>i&1 != 0 && (i == 0 || m>>(i-1)&1 == 0) {
				holes++
			}
		}
		if m == 0 || m>>maskSegments != 0 || holes > maskHoles || bits.OnesCount64(m) > maskHoles*maskLength {
			t.Fatalf("mask %06x with %d holes", m, holes)
		}
		seen[holes]++
	}
	for n := 1; n <= maskHoles; n++ {
		if seen[n] == 0 {
			t.Errorf("no mask of %d holes", n)
		}
	}
}

func TestGapAfter(t *testing.T) {
	ms := time.Millisecond
	s := &judge.Stream{Sent: []judge.Sent{
		{At: 10 * ms, Start: 1, End: 2}, {At: 15 * ms, Start: 2, End: 2}, {At: 210 * ms, Start: 1, End: 2, Again: 1, Reason: judge.RTO},
		{At: 620 * ms, Start: 1, End: 2, Again: 1, Reason: judge.RTO},
	}}
	for i, want := range []time.Duration{200 * ms, 410 * ms, 0} {
		if got := gapAfter(s, i); got != want {
			t.Errorf("gap %d: %v, want %v", i, got, want)
		}
	}
	if got := resends(s); !strings.HasPrefix(got, "1–2 at 0.210 s (RTO), ") || lostBytes(s) != 0 || resentBytes(s) != 2 {
		t.Errorf("%s; %d lost, %d sent again", got, lostBytes(s), resentBytes(s))
	}
}
