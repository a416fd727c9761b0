//go:build linux || freebsd

package guest

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each race has its fault: threads that do nothing but race show it.
func TestRacesHaveTheirFault(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one CPU: the faults need two")
	}
	for _, s := range Races {
		t.Run(s.Name, func(t *testing.T) {
			f, err := find(t.Context(), FindArgs{Race: s.Name, Seed: 1, Limit: 20, Pace: [2]int{3, 3}})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", f)
			if !f.Found {
				t.Skipf("not within %.0f s on this host", f.After)
			}
		})
	}
}

// One thread alone sees no fault, however often: the checks accuse nobody.
func TestNoFaultWithoutARace(t *testing.T) {
	for _, name := range []string{"stack", "retire"} {
		r, err := newRace(name)
		if err != nil {
			t.Fatal(err)
		}
		var over atomic.Bool
		for i := range 100_000 {
			if r.side(i%2, &over) || r.side(i%3%2, &over) {
				t.Fatalf("%s: fault after %d", name, i)
			}
		}
	}
	u := newUpdate()
	var over atomic.Bool
	over.Store(true) // nobody waits for the other
	for i := range 100_000 {
		for thread := range 2 {
			if u.side(1-thread, &over) {
				t.Fatalf("update: fault after %d", i)
			}
		}
	}
}

func TestFindArgs(t *testing.T) {
	for _, a := range []FindArgs{
		{Race: "none", Limit: 1}, {Race: "stack"}, {Race: "stack", Limit: 1e9}, {Race: "stack", Limit: -1},
		{Race: "stack", Limit: 1, Pace: [2]int{-1, 0}}, {Race: "stack", Limit: 1, Pace: [2]int{0, maxPace + 1}},
	} {
		if _, err := find(t.Context(), a); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func TestFindEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if f, err := find(ctx, FindArgs{Race: "update", Limit: 600, Pace: [2]int{maxPace, 10}}); err != nil || f.After > 10 {
		t.Errorf("%+v, %v", f, err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
