//go:build linux || freebsd

package guest

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Nothing here asks for large pages: a kernel without them takes things away all the same.
func TestStaleSeesWhatIsNotTaken(t *testing.T) {
	for _, c := range []struct {
		fault string
		ways  []string
		hit   bool
	}{
		{"", []string{WayReadOnly, WayNone, WayPart, WayUnmap, WayUnmapPart, WayReplace, WayTruncate}, false},
		{FaultStale, []string{WayReadOnly, WayPart, WayUnmapPart, WayReplace, WayTruncate}, true},
		{FaultLate, []string{WayReadOnly, WayUnmap, WayReplace}, true},
	} {
		r, err := stale(t.Context(), StaleArgs{Ways: c.ways, Rounds: 10, Probes: 50, Seed: 7, Fault: c.fault})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range r.Ways {
			if hit := len(w.Hits) > 0; hit != c.hit {
				t.Errorf("fault %q, %s: %d of %d probes denied, hits %+v", c.fault, w.Way, w.Denied, w.Probes, w.Hits)
			}
			if !c.hit && (w.Probes == 0 || w.Denied != w.Probes) {
				t.Errorf("%s: %d of %d probes denied", w.Way, w.Denied, w.Probes)
			}
		}
	}
}

func TestRandomFindsFaults(t *testing.T) {
	for _, fault := range []string{"", FaultWrongByte, FaultLost, FaultStale, FaultChild} {
		r, err := random(t.Context(), RandomArgs{Seed: 3, LimitS: 20, Scripts: 20, Ops: 60, Workers: 2, Threads: 2, Forks: fault == FaultChild, Fault: fault})
		if err != nil {
			t.Fatal(err)
		}
		if found := r.Mismatch != nil; found != (fault != "") {
			t.Errorf("fault %q: %+v after %d scripts", fault, r.Mismatch, r.Scripts)
		}
	}
}

func TestCyclesAndPopulate(t *testing.T) {
	c, err := cycles(t.Context(), CyclesArgs{Count: 40, Samples: 5})
	if err != nil || c.Wrong != 0 || len(c.Samples) != 5 || c.Samples[4].Cycles != 40 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, kind := range []string{Anon, Shared} {
		p, err := populate(t.Context(), PopulateArgs{Kind: kind, MiB: 8, Seed: 5})
		if err != nil || p.Wrong != 0 || p.Of != 2048 {
			t.Errorf("%s: %+v, %v", kind, p, err)
		}
	}
}
