package tcp

import (
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// restartStream is a flight of ten segments at byte 1 that times out: lost or not, and
// with so many segments outstanding when it has been acknowledged.
func restartStream(lost bool, after int64, timer bool) *judge.Stream {
	const size = 1000
	s := &judge.Stream{}
	sent := func(at int, segment int64, again int64, why judge.Reason, lost bool) {
		s.Sent = append(s.Sent, judge.Sent{At: time.Duration(at) * time.Millisecond, Start: 1 + segment*size, End: 1 + (segment+1)*size, Again: again, Reason: why, Lost: lost})
	}
	heard := func(at int, segment int64) {
		s.Heard = append(s.Heard, judge.Heard{At: time.Duration(at) * time.Millisecond, Ack: 1 + segment*size})
	}
	for i := range int64(restartFlight) {
		sent(100, i, 0, 0, lost)
	}
	if timer {
		sent(340, 0, size, judge.RTO, false)
	}
	heard(360, restartFlight)
	for i := range after {
		sent(361, restartFlight+i, 0, 0, false)
	}
	heard(381, restartFlight+1)
	for i := range int64(5) { // belongs to the next round trip
		sent(382, restartFlight+after+i, 0, 0, false)
	}
	return s
}

func TestRestarts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		kind     timeoutKind
		s        *judge.Stream
		restores bool
		status   suites.Status
		want     string
	}{
		{"began again", genuine, restartStream(true, 11, true), true, suites.Passed, ""},
		{"as large as before", genuine, restartStream(true, 30, true), true, suites.Failed, "30 segments outstanding when 10 were repaired"},
		{"given back", spurious, restartStream(false, 30, true), true, suites.Passed, ""},
		{"kept small", spurious, restartStream(false, 11, true), true, suites.Failed, "11 segments outstanding, when all ACKs had come late"},
		{"kept small by one that cannot know", spurious, restartStream(false, 11, true), false, suites.Passed, ""},
		{"no timeout", genuine, restartStream(true, 11, false), true, suites.Failed, "the timer did not run out"},
		{"nothing lost", genuine, restartStream(false, 11, true), true, suites.Broken, "the wire lost 0 of 10"},
		{"something lost", spurious, restartStream(true, 30, true), true, suites.Broken, "the wire lost 10"},
	} {
		after, err := windowAfter(tt.s, 1, 1000)
		if err == nil {
			err = judgeRestart(tt.kind, after, tt.restores)
		}
		status, reason := suites.Classify(err)
		if status != tt.status || !strings.Contains(reason, tt.want) {
			t.Errorf("%s: %v %q, want %v %q", tt.name, status, reason, tt.status, tt.want)
		}
	}
}
