package orchestrator_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

func (l *lab) wantTold(night string, want ...string) {
	l.Helper()
	if d := cmp.Diff(want, l.told()); d != "" {
		l.Errorf("%s: told (-want +got):\n%s", night, d)
	}
}

// tried counts the builds of a commit at the last pass.
func (l *lab) tried(commit int) (n int) {
	for _, job := range l.order {
		if job == "build "+commitName(commit) {
			n++
		}
	}
	return n
}

// What the rig broke or what was not published in the range of a search is tried
// again at each pass, and a later success goes on to the culprit. Each step is told
// once.
func TestPassesGoOnWithARange(t *testing.T) {
	for how, tries := range map[suites.Status]int{suites.Broken: 3, suites.Skipped: 1} {
		t.Run(how.String(), func(t *testing.T) {
			l := newLab(t, 1)
			faulty := []string{commitName(4), commitName(5)}
			l.outcome = func(commit string) suites.Status {
				if slices.Contains(faulty, commit) {
					return how
				}
				return suites.Passed
			}
			l.result = badFrom(6)
			l.pass()
			l.grow(9)
			l.pass()
			l.wantTold("first night", "ranged s/a c003..c006 ")
			if l.tried(4) != tries || l.tried(5) != tries {
				t.Errorf("first night: %d and %d tries, want %d each", l.tried(4), l.tried(5), tries)
			}
			if last := l.order[len(l.order)-1]; how == suites.Broken && !strings.HasPrefix(last, "build c00") {
				t.Errorf("first night ends with %q, want the last try of a broken build: %v", last, l.order)
			}
			l.pass()
			l.wantTold("nothing is mended")
			if l.tried(4) != tries || l.tried(5) != tries || len(l.order) != 2*tries {
				t.Errorf("nothing is mended: %v, want %d tries each and nothing else", l.order, tries)
			}
			faulty = faulty[1:]
			l.pass()
			l.wantTold("one is mended", "ranged s/a c004..c006 ")
			faulty = nil
			l.pass()
			l.wantTold("all is mended", "located s/a c005..c006 c006")
			l.pass()
			l.wantTold("all is known")
			if len(l.order) != 0 {
				t.Errorf("all is known, and it did %v", l.order)
			}
		})
	}
}

// Runs that the rig broke count per pass, as builds do.
func TestPassesGoOnWhereRunsBroke(t *testing.T) {
	l := newLab(t, 1)
	mended := false
	l.result = func(commit, name string) suites.Status {
		if commit == commitName(3) && !mended {
			return suites.Broken
		}
		return badFrom(4)(commit, name)
	}
	l.pass()
	l.grow(7)
	l.pass()
	l.wantTold("first night", "ranged s/a c002..c004 ")
	l.pass()
	l.wantTold("nothing is mended")
	if want := []string{"run c003", "run c003", "run c003"}; !slices.Equal(l.order, want) {
		t.Errorf("nothing is mended: %v, want %v", l.order, want)
	}
	mended = true
	l.pass()
	l.wantTold("mended", "located s/a c003..c004 c004")
}

// A flake is told of once, with what was seen at both ends, and accuses nobody.
func TestFlakeIsToldOnce(t *testing.T) {
	l := newLab(t, 1)
	looks := map[string]int{}
	l.result = func(commit, name string) suites.Status {
		if name == "s/a" && commit >= commitName(1) {
			if looks[commit]++; looks[commit] <= 2 {
				return suites.Failed
			}
		}
		return suites.Passed
	}
	l.pass()
	l.grow(2)
	l.pass()
	l.wantTold("first night", "ranged s/a c000..c001 ")
	g := l.regressions()[0]
	if want := "flaky: 5 passed and 0 failed at c000, 3 passed and 2 failed at c001: saw 2, expected 3"; g.Reason != want || g.Run == "" {
		t.Errorf("reason %q of run %q, want %q", g.Reason, g.Run, want)
	}
	for range 2 {
		l.grow(len(l.line) + 2)
		l.pass()
		l.wantTold("flaky still")
	}
	if n := len(slices.DeleteFunc(l.regressions(), func(g orchestrator.Regression) bool { return g.State == orchestrator.Withdrawn })); n != 1 {
		t.Errorf("%d regressions stand, want the flake", n)
	}
}

// A fix is called one after as many cold boots as an accusation takes, and keeps
// what was said of the regression.
func TestFixIsConfirmed(t *testing.T) {
	l := newLab(t, 1)
	l.result = badFrom(2)
	l.pass()
	l.grow(4)
	l.pass()
	l.wantTold("broken", "located s/a c001..c002 c002")
	l.grow(5)
	l.result = func(string, string) suites.Status { return suites.Passed }
	l.pass()
	g := l.regressions()[0]
	if g.State != orchestrator.Fixed || g.FixedBy != commitName(4) || g.Culprit != commitName(2) || g.Reason != "saw 2, expected 3" || g.Run == "" {
		t.Errorf("%+v, want c002 fixed by c004", g)
	}
	runs := 0
	for _, job := range l.order {
		if job == "run "+commitName(4) {
			runs++
		}
	}
	if runs != 5 {
		t.Errorf("%d runs of the fix, want 5", runs)
	}
}
