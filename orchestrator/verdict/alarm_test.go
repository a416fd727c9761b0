package verdict

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestConfirm(t *testing.T) {
	c := Change{Before: 100, After: 110}
	for _, tt := range []struct {
		name          string
		before, after []float64
		want          AlarmState
		more          int
	}{
		{"no re-runs", nil, nil, Suspicion, 5},
		{"two are missing", steps(1, 3, 1, 100), steps(2, 9, 1, 110), Suspicion, 2},
		{"borne out", steps(1, 5, 1, 100), steps(2, 5, 1, 110), Confirmed, 0},
		{"a third of it", steps(1, 15, .5, 100), steps(2, 15, .5, 103), Dismissed, 0},
		{"the other way", steps(1, 5, 1, 110), steps(2, 5, 1, 100), Dismissed, 0},
		{"not yet", []float64{1, 2, 3, 4, 5}, []float64{1, 2, 3, 4, 5}, Suspicion, 5},
		{"never", steps(1, 15, 0, 100), steps(2, 15, 0, 100), Dismissed, 0},
	} {
		got := Confirm(tt.before, tt.after, c)
		if got.State != tt.want || got.More != tt.more {
			t.Errorf("%s: %+v, want %s and %d more", tt.name, got, tt.want, tt.more)
		}
	}
}

func TestCutBetween(t *testing.T) {
	c := CutBetween([]float64{1, 2, 3}, []float64{7, 8, 9})
	if c.At != 5 || !c.Above || c.P != 3.5/4 || c.Q != .5/4 || c.Overlaps {
		t.Errorf("%+v, want 5, above, no overlap", c)
	}
	c = CutBetween([]float64{7, 8, 9, 2}, []float64{1, 2, 3, 0})
	if c.At != 5 || c.Above || c.Q != 1.5/5 || !c.Overlaps {
		t.Errorf("%+v, want below 5, one of four good ones fails", c)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(-10, 10)
		c := CutBetween(rapid.SliceOfN(value, 2, 20).Draw(t, "before"), rapid.SliceOfN(value, 2, 20).Draw(t, "after"))
		if c.P < 0 || c.P > 1 || c.Q < 0 || c.Q > 1 || math.IsNaN(c.At) {
			t.Fatalf("%+v", c)
		}
	})
}

func TestEvents(t *testing.T) {
	at := func(series, host string, first, last int) Alert {
		return Alert{Series: series, Host: host, First: first, Last: last, Direction: Worse, Size: 1}
	}
	base := at("boot", "h1", 10, 14)
	base.Baseline = true
	moved := []HostChange{{"h1", 12, "qemu 7.2 to 8.0"}}
	for _, tt := range []struct {
		name    string
		alerts  []Alert
		changes []HostChange
		want    []string
	}{
		{"none", nil, moved, nil},
		{"one", []Alert{at("a", "h1", 3, 5)}, nil, []string{"3 to 5: 1 worse (a)"}},
		{"one commit", []Alert{at("a", "h1", 3, 6), at("b", "h2", 5, 9)}, nil, []string{"5 to 6: 2 worse (a, b)"}},
		{"two commits", []Alert{at("a", "h1", 3, 6), at("b", "h1", 5, 9), at("c", "h1", 8, 9)}, nil,
			[]string{"5 to 6: 2 worse (a, b)", "8 to 9: 1 worse (c)"}},
		{"the baseline moved", []Alert{at("a", "h1", 9, 12), at("b", "h1", 13, 13), base, at("c", "h1", 30, 31), at("a", "h2", 12, 12)}, moved,
			[]string{"10 to 14: 3 worse (a, b, boot): host h1 changed: qemu 7.2 to 8.0", "12 to 12: 1 worse (a)", "30 to 31: 1 worse (c)"}},
		{"a change on record", []Alert{at("a", "h1", 12, 13), at("b", "h1", 11, 12)}, moved,
			[]string{"12 to 12: 2 worse (a, b): host h1 changed: qemu 7.2 to 8.0"}},
		{"too few of its series", []Alert{at("a", "h1", 12, 13)}, moved, []string{"12 to 13: 1 worse (a)"}},
	} {
		got := Events(tt.alerts, tt.changes, map[string]int{"h1": 4, "h2": 4})
		var text []string
		for _, e := range got {
			text = append(text, e.String())
		}
		if strings.Join(text, "\n") != strings.Join(tt.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(text, "\n"), strings.Join(tt.want, "\n"))
		}
	}
	// What moves on other hosts too is no host's doing, whatever is on record.
	got := Events([]Alert{at("a", "h1", 12, 13), at("b", "h1", 12, 12), at("a", "h2", 12, 13)}, moved, map[string]int{"h1": 2, "h2": 2})
	if len(got) != 1 || got[0].Cause != ByCommit || len(got[0].Alerts) != 3 {
		t.Errorf("%v, want one event, by a commit", got)
	}
}

// Each alert is in one event, and the places of an event by a commit are in the
// range of each of its alerts.
func TestEventsLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "n")
		alerts := make([]Alert, n)
		for i := range alerts {
			first := rapid.IntRange(0, 40).Draw(t, "first")
			alerts[i] = Alert{Series: "s", Host: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host"), First: first,
				Last: first + rapid.IntRange(0, 8).Draw(t, "length"), Direction: Worse, Baseline: rapid.IntRange(0, 9).Draw(t, "base") == 0}
		}
		changes := []HostChange{{"a", rapid.IntRange(0, 40).Draw(t, "at"), "x"}}
		told := 0
		for _, e := range Events(alerts, changes, map[string]int{"a": 6, "b": 6}) {
			told += len(e.Alerts)
			for _, a := range e.Alerts {
				if e.Cause == ByCommit && (a.First > e.First || a.Last < e.Last || e.First > e.Last || a.Baseline) || e.Cause == ByHost && a.Host != e.Host {
					t.Fatalf("%+v in %v", a, e)
				}
			}
		}
		if told != n {
			t.Fatalf("%d of %d alerts are told", told, n)
		}
	})
}
