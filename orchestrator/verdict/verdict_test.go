package verdict

import (
	"testing"

	"pgregory.net/rapid"
)

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		c    Counts
		want Verdict
		more int
	}{
		{Counts{}, "", 1},
		{Counts{Passed: 1}, Good, 0},
		{Counts{Failed: 1}, "", 1},
		{Counts{Failed: 2}, Bad, 0},
		{Counts{Passed: 1, Failed: 1}, "", 3},
		{Counts{Passed: 4, Failed: 1}, Skip, 0},
		{Counts{Passed: 1, Failed: 4}, Skip, 0},
		{Counts{Broken: 1}, "", 1},
		{Counts{Broken: 3}, Skip, 0},
		{Counts{Failed: 1, Broken: 3}, Skip, 0},
		{Counts{Passed: 1, Broken: 3}, Good, 0},
		{Counts{Skipped: 1}, Skip, 0},
	} {
		if got, more := Judge(tt.c); got != tt.want || more != tt.more {
			t.Errorf("Judge(%+v) = %q, %d; want %q, %d", tt.c, got, more, tt.want, tt.more)
		}
	}
}

// Infra errors alone never accuse, one failure never accuses, and asking for
// more always ends.
func TestJudgeNeverAccusesEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Counts
		for range 20 {
			v, more := Judge(c)
			if v == Bad && (c.Failed < 2 || c.Passed > 0) {
				t.Fatalf("bad from %+v", c)
			}
			if v != "" {
				if more != 0 {
					t.Fatalf("%+v: verdict %q and %d more", c, v, more)
				}
				return
			}
			if more < 1 {
				t.Fatalf("%+v: no verdict and nothing more wanted", c)
			}
			switch rapid.IntRange(0, 3).Draw(t, "result") {
			case 0:
				c.Passed++
			case 1:
				c.Failed++
			case 2:
				c.Broken++
			case 3:
				c.Skipped++
			}
		}
		t.Fatalf("no verdict after 20 runs: %+v", c)
	})
}
