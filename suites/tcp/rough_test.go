package tcp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
)

// Paths are as bad as they are said to be, and the cable takes their rules.
func TestRoughPath(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 10))
	for range 200 {
		rules, what := roughPath(r)
		c, err := wire.New(wire.Config{Rules: rules})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		c.Close()
		if p := rules[0].Match.Probability; p < .001 || p > .1 || rules[0].Name != "lost" {
			t.Errorf("%s: loses %v", what, p)
		}
		for _, rule := range rules[:len(rules)-1] {
			if rule.Match.Proto != "tcp" {
				t.Errorf("%s: rule %s hits all frames: without ARP there is no peer", what, rule.Name)
			}
		}
	}
}

// Nothing that moves within the plan's patience is a finding, whatever is for others.
func TestPatience(t *testing.T) {
	if b := (&Bed{}); b.patience() != stall {
		t.Errorf("%v, want %v", b.patience(), stall)
	}
	if b := (&Bed{plan: Plan{Patience: time.Hour}}); b.patience() != time.Hour {
		t.Errorf("%v", b.patience())
	}
	status, reason := suites.Classify(moved("send", guest.Moved{Bytes: 3, Stalled: true, Duration: 128}, 9))
	if status != suites.Failed || reason != "send: nothing moves any more after 3 of 9 bytes, 128 s after it began" {
		t.Errorf("%v %q", status, reason)
	}
}
