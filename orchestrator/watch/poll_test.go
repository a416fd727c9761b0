package watch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// clock is a Pace's clock that the test moves.
type clock struct{ now time.Time }

func (c *clock) pace() Pace {
	return Pace{Interval: 5 * time.Minute, Now: func() time.Time { return c.now }, Rand: func() float64 { return 0.5 }}
}

// pass lets the time of Next pass.
func (c *clock) pass(p *Poller) { c.now = c.now.Add(p.Next()) }

func newClock() *clock { return &clock{time.Unix(1_800_000_000, 0)} }

// expect polls once.
func expect(t *testing.T, p *Poller, head string, changed bool, problem string, next time.Duration) {
	t.Helper()
	gotHead, gotChanged, err := p.Changed(t.Context())
	if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), `upstream "demo"`)) {
		t.Errorf("error is %v, wanted %q", err, problem)
	}
	if gotHead != head || gotChanged != changed {
		t.Errorf("head %q changed %v, wanted %q %v", gotHead, gotChanged, head, changed)
	}
	if got := p.Next(); got != next {
		t.Errorf("next poll in %s, wanted %s", got, next)
	}
}

func TestGitPoller(t *testing.T) {
	u := newUpstream(t)
	c1 := u.commit("c1")
	u.git("update-ref", "refs/remotes/x/refs/heads/main", c1) // ends like the branch
	server := u.serve(nil)
	m := mirror(t, server.url, 1)
	clock := newClock()
	p, err := NewGitPoller(m, clock.pace())
	if err != nil {
		t.Fatal(err)
	}
	if p.Next() != 0 {
		t.Errorf("the first poll is due in %s", p.Next())
	}
	expect(t, p, c1, true, "", 5*time.Minute)
	expect(t, p, c1, true, "", 5*time.Minute) // nobody took care of it
	p.Saw(c1)
	expect(t, p, c1, false, "", 5*time.Minute)
	c2 := u.commit("c2")
	clock.now = clock.now.Add(time.Minute)
	if p.Next() != 4*time.Minute {
		t.Errorf("next poll in %s", p.Next())
	}
	expect(t, p, c2, true, "", 5*time.Minute)
	u.git("branch", "-m", "main", "trunk")
	expect(t, p, "", false, `branch "main" is not`, 5*time.Minute)
	expect(t, p, "", false, "no such branch", 10*time.Minute)
	u.git("branch", "-m", "trunk", "main")
	expect(t, p, c2, true, "", 5*time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := p.Changed(ctx); !errors.Is(err, context.Canceled) || p.Next() != 5*time.Minute {
		t.Errorf("a cancelled poll is nobody's failure: %v, next in %s", err, p.Next())
	}
	server.Close()
	expect(t, p, "", false, "git ls-remote", 5*time.Minute)
	if _, err := NewGitPoller(m, Pace{Interval: time.Millisecond}); err == nil {
		t.Error("an interval of 1ms was taken")
	}
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		failures int
		rnd      float64
		want     time.Duration
	}{
		{5 * time.Minute, 0, 0.9, 5 * time.Minute},
		{4 * time.Minute, 1, 0, 3 * time.Minute},
		{4 * time.Minute, 1, 0.5, 4 * time.Minute},
		{4 * time.Minute, 3, 0.5, 16 * time.Minute},
		{4 * time.Minute, 5, 0.5, time.Hour},
		{time.Second, 1 << 30, 0.5, time.Hour},
		{time.Second, 1 << 30, 0.999999, 75*time.Minute - 3600*500*time.Nanosecond*2},
		{6 * time.Hour, 7, 0.5, 6 * time.Hour},
	} {
		got := wait(c.interval, c.failures, c.rnd)
		if d := got - c.want; d < -5*time.Millisecond || d > 5*time.Millisecond {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
