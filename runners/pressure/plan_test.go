package pressure

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func take(seed uint64, threads, cores, n int) []Step {
	var steps []Step
	for s := range Plan(seed, threads, cores) {
		if steps = append(steps, s); len(steps) == n {
			break
		}
	}
	return steps
}

func TestPlanRepeats(t *testing.T) {
	if diff := cmp.Diff(take(7, 4, 2, 200), take(7, 4, 2, 200)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(take(7, 4, 2, 5), take(8, 4, 2, 5)) {
		t.Error("two seeds have one plan")
	}
}

// Whatever is drawn can be carried out.
func TestPlanIsPossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threads, cores := rapid.IntRange(1, 8).Draw(t, "threads"), rapid.IntRange(1, 16).Draw(t, "cores")
		for _, s := range take(rapid.Uint64().Draw(t, "seed"), threads, cores, 100) {
			if s.For < minStep || s.For > maxStep || len(s.Cores) != threads || s.Victim < -1 || s.Victim >= threads {
				t.Fatalf("%+v", s)
			}
			if order := slices.Sorted(slices.Values(s.Ranks)); s.Ranks != nil && (len(order) != threads || order[0] != 0 || order[threads-1] != threads-1) {
				t.Fatalf("ranks: %+v", s)
			}
			for _, core := range s.Cores {
				if core < anywhere || core >= cores {
					t.Fatalf("core %d of %d: %+v", core, cores, s)
				}
			}
			if s.Victim < 0 {
				continue
			}
			if s.Pause < minPause || s.Pause > maxPause || s.Gap < s.Pause {
				t.Fatalf("a victim that hardly runs: %+v", s)
			}
			mine := s.Cores[s.Victim]
			if alone := !slices.Contains(slices.Delete(slices.Clone(s.Cores), s.Victim, s.Victim+1), mine); mine < 0 || !alone {
				t.Fatalf("a pause of %d is one of others: %+v", s.Victim, s)
			}
		}
	})
}

// Every kind comes, every thread is a victim, and most of the time goes to pauses.
func TestPlanMixes(t *testing.T) {
	var free, crowded, paused time.Duration
	victims := map[int]bool{}
	for _, s := range take(1, 3, 2, 2000) {
		switch {
		case s.Victim >= 0:
			paused += s.For
			victims[s.Victim] = true
		case s.Cores[0] == anywhere:
			free += s.For
		default:
			crowded += s.For
		}
	}
	if free == 0 || crowded == 0 || paused < free+crowded || len(victims) != 3 {
		t.Errorf("free %v, crowded %v, pauses %v of %v", free, crowded, paused, victims)
	}
	for _, s := range take(1, 3, 1, 200) {
		if s.Victim >= 0 {
			t.Fatal("on one core a pause is everybody's")
		}
	}
}
