package verdict

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestStandingOf(t *testing.T) {
	pass, fail, both, none := Counts{Passed: 1}, Counts{Failed: 1}, Counts{Passed: 2, Failed: 1}, Counts{}
	for _, tt := range []struct {
		name   string
		builds []Counts
		want   Standing
	}{
		{"nothing", nil, Absent},
		{"not on the newest", []Counts{fail, pass}, Absent},
		{"first build ever", []Counts{fail}, Unseen},
		{"after passes", []Counts{pass, pass, fail}, Unseen},
		{"came once", []Counts{pass, fail, pass, fail}, Sporadic},
		{"came and went", []Counts{pass, fail, pass, fail, none, pass, fail}, Flake},
		{"passes on the same builds", []Counts{both, both, fail}, Flake},
		{"since it came", []Counts{pass, fail, fail, fail}, Persistent},
		{"one more", []Counts{pass, fail, fail}, Sporadic},
	} {
		if got := StandingOf(tt.builds); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func known(ran bool, passed, failed int) KnownBuild {
	return KnownBuild{Counts{Passed: passed, Failed: failed}, ran}
}

func TestReviewKnown(t *testing.T) {
	fails := known(true, 0, 5)
	for _, tt := range []struct {
		name   string
		builds []KnownBuild
		want   KnownState
		lacks  int
	}{
		{"nothing yet", nil, Untold, 5},
		{"it fails", []KnownBuild{fails}, Expected, 6},
		{"it passed once", []KnownBuild{fails, known(true, 1, 0)}, Unexpected, 5},
		{"often enough", []KnownBuild{fails, known(true, 3, 0), known(true, 3, 0)}, Lapsed, 0},
		{"and failed after", []KnownBuild{fails, known(true, 6, 0), fails}, Lapsed, 0},
		{"not in a row", []KnownBuild{fails, known(true, 3, 0), fails, known(true, 3, 0)}, Unexpected, 7 - 3},
		{"vanished", []KnownBuild{fails, known(true, 0, 0)}, VanishedCase, 6},
		{"not run", []KnownBuild{fails, {}}, Untold, 6},
		{"skipped", []KnownBuild{fails, {Counts{Skipped: 1}, true}}, Untold, 6},
		{"never failed since", []KnownBuild{known(true, 5, 0)}, Lapsed, 0},
		{"one boot in ten", []KnownBuild{known(true, 27, 3), known(true, 40, 0)}, Unexpected, 164 - 40},
	} {
		if got, lacks := ReviewKnown(tt.builds); got != tt.want || lacks != tt.lacks {
			t.Errorf("%s: %s, lacks %d; want %s, %d", tt.name, got, lacks, tt.want, tt.lacks)
		}
	}
}

func TestKnownFailure(t *testing.T) {
	k := KnownFailure{Case: "s/a", Target: "t", Reason: "r"}
	if k.Check() != nil || (KnownFailure{Case: "s/a"}).Check() == nil || (KnownFailure{Reason: "r"}).Check() == nil {
		t.Error("an entry needs a case and a reason, and no more")
	}
	if !k.Covers("s/a", "t") || k.Covers("s/a", "u") || k.Covers("s/b", "t") || !(KnownFailure{Case: "s/a"}).Covers("s/a", "u") {
		t.Error("an entry covers its case on its target, or on all")
	}
}

func TestLowerLimit(t *testing.T) {
	// All of n: the n-th root of the tail.
	for _, n := range []int{1, 3, 10} {
		if got, want := lowerLimit(n, n, .05), math.Pow(.05, 1/float64(n)); math.Abs(got-want) > 1e-9 {
			t.Errorf("%d of %d: %v, want %v", n, n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		if p := lowerLimit(k, n, .05); math.Abs(binomialTail(k, n, p)-.05) > 1e-6 {
			t.Fatalf("limit %v of %d in %d has tail %v", p, k, n, binomialTail(k, n, p))
		}
	})
}
