package qemu

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners/console"
)

// Where the lowest priority cannot be taken back, a spare is made only when the
// machine before is gone, and for nobody who waits.
func TestSpareThatCannotBeQuiet(t *testing.T) {
	creations := make(chan bool, 2*spareTries)
	r := newReserve(&Runner{quiet: func() bool { return false }, logger: slog.New(slog.DiscardHandler)},
		func(_ context.Context, quiet bool, _ <-chan struct{}) (*spare, error) {
			creations <- quiet
			return nil, errors.New("not today")
		}, 0)
	defer r.close()
	gone := make(chan struct{})
	for n := range spareAfter {
		if r.next != nil {
			t.Fatalf("a spare after %d starts", n)
		}
		r.refill(gone)
	}
	if s := r.take(t.Context()); s != nil || len(creations) != 0 {
		t.Error("a spare was made beside a machine")
	}
	r.refill(gone)
	close(gone)
	if quiet := <-creations; quiet {
		t.Error("at a priority that cannot be taken back")
	}
	if is, err := r.await(t.Context()); is || err != nil {
		t.Errorf("a spare that could not be made: %v, %v", is, err)
	}
	for range 2 * spareTries {
		r.tasks.Wait()
		r.refill(gone)
	}
	r.tasks.Wait()
	if n := len(creations); n != spareTries-1 {
		t.Errorf("%d more tries, want %d", n, spareTries-1)
	}
}

func TestSink(t *testing.T) {
	s := &sink{}
	io.WriteString(s, "em0: link state changed to UP, before\n")
	if err := s.fit(); s.Tail(7) != "before\n" || s.Crashes() != nil || err != nil {
		t.Errorf("%q, %v, %v", s.Tail(7), s.Crashes(), err)
	}
	log := console.New(console.Options{})
	s.attach(log)
	io.WriteString(s, "after\n")
	if got := log.Tail(100); got != "em0: link state changed to UP, before\nafter\n" || s.Tail(100) != got {
		t.Errorf("%q", got)
	}
	full := &sink{}
	full.Write(make([]byte, maxUnheard))
	if err := full.fit(); err != nil {
		t.Errorf("as much as is kept: %v", err)
	}
	if io.WriteString(full, "x"); full.fit() == nil {
		t.Error("a byte was lost, and nobody says so")
	}
	stalled := &sink{}
	io.WriteString(stalled, "[   31.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [init:1]\n")
	if err := stalled.fit(); err == nil || !strings.Contains(err.Error(), "soft lockup") {
		t.Errorf("a guest that stalled: %v", err)
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		guest     int
		available int64
		want      bool
	}{{512, -1, true}, {512, 1 << 30, true}, {512, 1<<30 - 1, false}, {512, 0, false}} {
		if got := roomFor(c.guest, c.available); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if got := memAvailable("MemTotal: 9 kB\nMemAvailable:     100 kB\n"); got != 102400 {
		t.Errorf("MemAvailable %d", got)
	}
	if got := memAvailable("nothing"); got != -1 {
		t.Errorf("no MemAvailable: %d", got)
	}
	files := map[string]string{
		"/sys/fs/cgroup/a/memory.max": "1000\n", "/sys/fs/cgroup/a/memory.current": "400\n",
		"/sys/fs/cgroup/b/memory.max": "max\n", "/sys/fs/cgroup/b/memory.current": "400\n",
		"/sys/fs/cgroup/c/memory.max": "1\n", "/sys/fs/cgroup/c/memory.current": "400\n",
	}
	read := func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
	for self, want := range map[string]int64{"1:name=x:/a\n0::/a\n": 600, "0::/b\n": -1, "0::/c\n": 0, "0::/\n": -1, "": -1} {
		if got := groupLeft(self, read); got != want {
			t.Errorf("%q: %d, want %d", self, got, want)
		}
	}
}
