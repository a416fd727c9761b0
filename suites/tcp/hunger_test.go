package tcp

import (
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

func TestHungerExcuses(t *testing.T) {
	var h hunger
	if h.between(0, time.Second) != 0 {
		t.Error("a guest of which nothing is known has starved")
	}
	// It starves for half of the time from 1 s to 2 s.
	for at := time.Duration(0); at <= 4*time.Second; at += tasteEvery {
		h.note(at, min(max(0, at-time.Second), time.Second)/2)
	}
	for _, tt := range []struct{ since, at, want time.Duration }{
		{0, 500 * time.Millisecond, 0}, {time.Second, 2 * time.Second, 500 * time.Millisecond},
		{1500 * time.Millisecond, 9 * time.Second, 300 * time.Millisecond}, // a taste more at the beginning
		{3 * time.Second, 4 * time.Second, 0},
	} {
		if got := h.between(tt.since, tt.at); got != tt.want {
			t.Errorf("from %v to %v: %v, want %v", tt.since, tt.at, got, tt.want)
		}
	}
	found := func(since, at, held time.Duration) judge.Finding {
		return judge.Finding{Code: judge.NoBackoff, At: at, Since: since, Held: held}
	}
	all := []judge.Finding{
		found(time.Second, 2*time.Second, 400*time.Millisecond), // the host's
		found(time.Second, 2*time.Second, 600*time.Millisecond), // more than it held
		found(3*time.Second, 4*time.Second, time.Millisecond),   // not then
		found(time.Second, 2*time.Second, 0),                    // no host does that
	}
	guests, hosts := h.excused(all)
	if len(hosts) != 1 || len(guests) != 3 || hosts[0].Held != 400*time.Millisecond {
		t.Errorf("the host's: %v, the guest's: %v", hosts, guests)
	}
	err := heldUp(&h, hosts)
	if status, _ := suites.Classify(err); status != suites.Broken || !worthAnotherTry(err) {
		t.Errorf("%v is %v, want it broken and done again", err, status)
	}
	if heldUp(&h, nil) != nil {
		t.Error("nothing is the host's fault")
	}
}
