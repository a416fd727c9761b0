package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/bisect"
)

// searched is a search among eight commits, the third of which cannot be built and
// the sixth of which is the culprit.
func searched() orchestrator.Advance {
	a := orchestrator.Advance{
		Bisection: orchestrator.Bisection{Ending: "culprit", First: "c5", Last: "c5", Posterior: .995, Verified: true},
		States:    make(bisect.Line, 8), Counts: make([]bisect.Count, 8),
		Cost:     orchestrator.BisectionCost{Runs: 20, Builds: 4, RunTime: time.Minute, BuildTime: time.Minute, EachRun: 3 * time.Second},
		Forecast: bisect.Forecast{Search: 10, High: 20, Verify: 10},
	}
	for i := range 8 {
		a.Commits = append(a.Commits, orchestrator.Commit{Hash: fmt.Sprintf("c%d", i), Subject: fmt.Sprintf("change \x1b[31m%d", i), Author: "Ada", Email: "a@example.org", Time: time.Unix(0, 0)})
		a.States[i].State = bisect.Built
	}
	a.States[2].State = bisect.Unbuildable
	a.Counts[0], a.Counts[4], a.Counts[5], a.Counts[7] = bisect.Count{Passed: 3}, bisect.Count{Passed: 20}, bisect.Count{Passed: 6, Failed: 2}, bisect.Count{Failed: 3}
	a.Posterior = bisect.Posterior{Mass: []float64{0, 0, 0, .1, 0, .8, .1, 0}, P: bisect.Chance{Mean: .3, Low: .2, High: .5}, Q: bisect.Chance{Mean: .01, Low: .001, High: .06}}
	a.Plan = bisect.Plan{Goal: bisect.Confirm, Asks: []bisect.Ask{{Commit: 5, Runs: 4}}}
	return a
}

func TestPicture(t *testing.T) {
	want := []string{
		"   ▁ █▁ ", "+·-·+!·x", "c0 .. c7, 8 commits; likeliest c5 80 % change �[31m5", "confirming, up to 4 runs of c5",
		"20 runs and 4 builds, 2m0s so far; about 1m0s to go, less than 1m30s nine times in ten",
	}
	if d := cmp.Diff(want, pictureOf(searched(), 72)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := pictureOf(searched(), 4)[1]; got != "+-!x" {
		t.Errorf("half as wide: %q", got)
	}
	var out bytes.Buffer
	p := newPicture(&out, true, false)
	p.draw(searched())
	p.draw(searched())
	if n := strings.Count(out.String(), "\x1b[5A"); n != 1 {
		t.Errorf("drawn over %d times, want once:\n%q", n, out.String())
	}
}

func TestGitBisectLog(t *testing.T) {
	a := searched()
	var said []string
	for _, l := range gitBisectLog(a) {
		if !strings.HasPrefix(l, "#") {
			said = append(said, l)
		}
	}
	want := []string{"git bisect start", "git bisect bad c7", "git bisect good c0", "git bisect skip c2", "git bisect good c4", "git bisect bad c5"}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	a.Bisection.Fix = true
	log := strings.Join(gitBisectLog(a), "\n")
	for _, line := range []string{"git bisect start '--term-old' 'broken' '--term-new' 'fixed'", "git bisect fixed c7", "git bisect broken c4", "# first fixed commit: [c5]"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log of a fix lacks %q:\n%s", line, log)
		}
	}
	d := bisectionDocument(a)
	if d.P < .98 || d.P > 1 || d.Q < .6 || d.PHigh > 1 || d.PLow > d.P || d.QLow > d.Q {
		t.Errorf("of a fix: p %v (%v to %v), q %v (%v to %v)", d.P, d.PLow, d.PHigh, d.Q, d.QLow, d.QHigh)
	}
}

func TestBudgetThatCannotSuffice(t *testing.T) {
	a := searched()
	a.Plan.Goal, a.Forecast = bisect.Narrow, bisect.Forecast{Least: 100, Search: 200, High: 300, Verify: 100}
	err := checkBudget(a, 4*time.Minute)
	if want := "--budget 4m0s cannot suffice: no search does it in less than 7m0s; give it 22m0s"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	if err := checkBudget(a, 8*time.Minute); err != nil {
		t.Error(err)
	}
}
