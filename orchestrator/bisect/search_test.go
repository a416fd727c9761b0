package bisect

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// line reads "a+ b? b? c-": build and state of each commit.
func line(s ...string) []Point {
	states := map[byte]State{'+': Good, '-': Bad, '?': Unknown, 'x': Untestable, '~': Deferred}
	var out []Point
	for _, p := range s {
		out = append(out, Point{Build: p[:1], State: states[p[1]]})
	}
	return out
}

func TestNext(t *testing.T) {
	for _, tt := range []struct {
		name string
		line []Point
		want Step
	}{
		{"adjacent", line("a+", "b-"), Step{Found, 1, 0, 1}},
		{"middle first", line("a+", "b?", "c?", "d?", "e-"), Step{Probe, 2, 0, 4}},
		{"lower half left", line("a+", "b?", "c-", "d?", "e-"), Step{Probe, 1, 0, 2}},
		{"upper half left", line("a+", "b?", "c+", "d?", "e-"), Step{Probe, 3, 2, 4}},
		{"same build as good is good", line("a+", "a?", "b-"), Step{Found, 2, 1, 2}},
		{"same build as bad: the first of them", line("a+", "b?", "b?", "b-"), Step{Found, 1, 0, 1}},
		{"untestable between", line("a+", "bx", "cx", "d-"), Step{Ranged, -1, 0, 3}},
		{"untestable beside a candidate", line("a+", "bx", "c?", "d-"), Step{Probe, 2, 0, 3}},
		{"deferred comes last", line("a+", "b~", "c~", "d?", "e-"), Step{Probe, 3, 0, 4}},
		{"only deferred left", line("a+", "bx", "c~", "d-"), Step{Probe, 2, 0, 3}},
		{"never bad", line("a+", "b+"), Step{NoRange, -1, -1, -1}},
		{"bad before good only", line("a-", "b+"), Step{NoRange, -1, -1, -1}},
		{"empty", nil, Step{NoRange, -1, -1, -1}},
		{"fixed later", line("a+", "b?", "c-", "d+"), Step{Probe, 1, 0, 2}},
	} {
		if got := Next(tt.line); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A search over any line with one culprit finds it, in no more probes than the
// binary logarithm of the number of distinct builds allows.
func TestSearchFindsCulprit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 200).Draw(t, "commits")
		culprit := rapid.IntRange(1, n-1).Draw(t, "culprit")
		points := make([]Point, n)
		build := 0
		for i := range points {
			if i == culprit || rapid.Bool().Draw(t, "changes") {
				build++
			}
			points[i].Build = fmt.Sprint(build)
		}
		truth := func(i int) State {
			if i >= culprit {
				return Bad
			}
			return Good
		}
		points[0].State, points[n-1].State = Good, Bad
		for probes := 0; ; probes++ {
			s := Next(points)
			if s.Kind == Found {
				if s.At != culprit {
					t.Fatalf("found %d, want %d", s.At, culprit)
				}
				return
			}
			if s.Kind != Probe || probes > 8 {
				t.Fatalf("step %+v after %d probes", s, probes)
			}
			points[s.At].State = truth(s.At)
		}
	})
}

func TestConfidence(t *testing.T) {
	sure := Confidence([]Tally{{Passed: 5}, {Failed: 5}}, 1)
	if sure < .98 || sure >= 1 {
		t.Errorf("five passes, then five failures: %v, want at least .98 and below 1", sure)
	}
	if weak := Confidence([]Tally{{Passed: 1}, {Failed: 1}}, 1); weak >= sure {
		t.Errorf("one boot each gives %v, five give %v: evidence must add up", weak, sure)
	}
	if c := Confidence([]Tally{{Passed: 5}, {}, {Failed: 5}}, 2); c > .6 {
		t.Errorf("an untested build between: %v, cannot exceed one half by much", c)
	}
	if flaky := Confidence([]Tally{{Passed: 3, Failed: 2}, {Passed: 2, Failed: 3}}, 1); flaky > .5 {
		t.Errorf("a case that fails everywhere accuses with %v", flaky)
	}
	for _, i := range []int{-1, 0, 2} {
		if c := Confidence([]Tally{{Passed: 5}, {Failed: 5}}, i); c != 0 {
			t.Errorf("index %d is no candidate, got %v", i, c)
		}
	}
}
