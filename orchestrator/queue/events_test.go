package queue

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
)

func TestEveryWatcherSeesEvents(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		one, other := open(never), open(never)
		want := orchestrator.Event{
			Kind: orchestrator.EventResult, Job: "run-1", Run: "0123456789ab", Commit: "c0ffee",
			Case: "smoke/clock", Status: "failed", Reason: "clock went back",
		}
		ctx, stop := context.WithCancel(soon(t))
		defer stop()
		var watches []<-chan orchestrator.Event
		for _, q := range []*Queue{one, other} {
			w, err := q.Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			watches = append(watches, w)
		}
		// What anybody else says there disturbs nobody.
		for _, junk := range []string{"", "\xff", "[]", "{}"} {
			if err := one.nc.Publish(events, []byte(junk)); err != nil {
				t.Fatal(err)
			}
		}
		if err := one.Announce(ctx, want); err != nil {
			t.Fatal(err)
		}
		for _, w := range watches {
			if d := cmp.Diff(want, <-w); d != "" {
				t.Errorf("event (-announced +seen):\n%s", d)
			}
		}
		stop()
		for _, w := range watches {
			if e, open := <-w; open {
				t.Errorf("an event after the watch ended: %v", e)
			}
		}
	})
}

// A watcher that does not read stops nobody, and keeps a bounded backlog.
func TestSlowWatcher(t *testing.T) {
	q := mustOpen(t, Config{Dir: t.TempDir()})
	ctx, stop := context.WithCancel(soon(t))
	defer stop()
	w, err := q.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20 * backlog
	for range n {
		if err := q.Announce(ctx, orchestrator.Event{Kind: orchestrator.EventRun}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.nc.FlushWithContext(ctx); err != nil { // all that was announced has come back
		t.Fatal(err)
	}
	stop()
	seen := 0
	for range w {
		seen++
	}
	if seen > backlog+2 {
		t.Errorf("%d of %d events were kept for a reader that did not read", seen, n)
	}
}

func TestLongReasonIsCut(t *testing.T) {
	q := mustOpen(t, Config{Dir: t.TempDir()})
	w, err := q.Watch(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	long := orchestrator.Event{Kind: orchestrator.EventResult, Reason: "x" + strings.Repeat("é", 1<<20)}
	if err := q.Announce(soon(t), long); err != nil {
		t.Fatal(err)
	}
	got := (<-w).Reason
	if len(got) > maxReason || len(got) < maxReason-utf8.UTFMax || !strings.HasPrefix(long.Reason, got) {
		t.Errorf("a reason of %d bytes arrived as one of %d", len(long.Reason), len(got))
	}
}
