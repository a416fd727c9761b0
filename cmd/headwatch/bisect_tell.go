package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/watch"
)

// bisectionDoc is what a search found. Times are in seconds.
type bisectionDoc struct {
	Culprit    string   `json:"culprit"` // empty: none, or only a range
	Range      []string `json:"range"`   // oldest and newest candidate; empty: there are none
	Ending     string   `json:"ending"`
	Reason     string   `json:"reason,omitempty"` // of an ending that is no answer
	Confidence float64  `json:"confidence"`
	P          float64  `json:"p"` // how often a run of a bad commit fails
	PLow       float64  `json:"p_low"`
	PHigh      float64  `json:"p_high"`
	Q          float64  `json:"q"` // and of a good one
	QLow       float64  `json:"q_low"`
	QHigh      float64  `json:"q_high"`
	Runs       int      `json:"runs"`
	Builds     int      `json:"builds"`
	Skipped    []string `json:"skipped"` // commits that could not be tested
	CostS      float64  `json:"cost_s"`
	VerifyS    float64  `json:"verify_cost_s"`
	Verified   bool     `json:"verified"`
	FindFix    bool     `json:"find_fix"`
	Author     string   `json:"author,omitempty"`
	Date       string   `json:"date,omitempty"`
	Subject    string   `json:"subject,omitempty"`
	Log        []string `json:"log"` // in the form of git bisect log
}

// bisectionDocument is the document of a search as it ended.
func bisectionDocument(a orchestrator.Advance) bisectionDoc {
	b, c := a.Bisection, a.Cost
	d := bisectionDoc{
		Range: []string{}, Ending: b.Ending, Reason: a.Stuck, Confidence: b.Posterior, Runs: c.Runs, Builds: c.Builds, Skipped: []string{},
		P: a.Posterior.P.Mean, PLow: a.Posterior.P.Low, PHigh: a.Posterior.P.High,
		Q: a.Posterior.Q.Mean, QLow: a.Posterior.Q.Low, QHigh: a.Posterior.Q.High,
		CostS: (c.RunTime + c.BuildTime).Seconds(), VerifyS: c.VerifyTime.Seconds(), Verified: b.Verified, FindFix: b.Fix,
	}
	if b.Fix { // the model is turned round: what it takes for a failure is a pass
		d.P, d.PLow, d.PHigh, d.Q, d.QLow, d.QHigh = 1-d.Q, 1-d.QHigh, 1-d.QLow, 1-d.P, 1-d.PHigh, 1-d.PLow
	}
	if b.First != "" {
		d.Range = []string{b.First, b.Last}
	}
	if b.Ending == bisect.Culprit.String() {
		d.Culprit = b.First
	}
	for i, s := range a.States {
		if s.State == bisect.Unbuildable || s.State == bisect.Unbootable {
			d.Skipped = append(d.Skipped, a.Commits[i].Hash)
		}
		if a.Commits[i].Hash == d.Culprit {
			k := a.Commits[i]
			d.Author, d.Date, d.Subject = fmt.Sprintf("%s <%s>", k.Author, k.Email), k.Time.UTC().Format(time.RFC3339), k.Subject
		}
	}
	d.Log = gitBisectLog(a)
	return d
}

// gitBisectLog is a search as git bisect log(1) would have it, for git bisect replay.
// A commit is good or bad as the answer has it, since its runs may say both; without
// an answer nothing but the ends and what fails always or never is told.
func gitBisectLog(a orchestrator.Advance) []string {
	b := a.Bisection
	old, young := "good", "bad"
	start := "git bisect start"
	if b.Fix {
		old, young = "broken", "fixed"
		start += " '--term-old' 'broken' '--term-new' 'fixed'"
	}
	var out []string
	say := func(word string, c orchestrator.Commit) {
		out = append(out, fmt.Sprintf("# %s: [%s] %s", word, c.Hash, oneLine(c.Subject, 200)), "git bisect "+word+" "+c.Hash)
	}
	out = append(out, start)
	last := len(a.Commits) - 1
	say(young, a.Commits[last])
	say(old, a.Commits[0])
	first, end := len(a.Commits), -1 // candidates
	for i, c := range a.Commits {
		if c.Hash == b.First {
			first = i
		}
		if c.Hash == b.Last {
			end = i
		}
	}
	for i := 1; i < last; i++ {
		n := a.Counts[i]
		tested := n.Failed+n.Passed > 0
		switch {
		case a.States[i].State == bisect.Unbuildable || a.States[i].State == bisect.Unbootable:
			say("skip", a.Commits[i])
		case !tested || end < 0:
		case i >= end:
			say(young, a.Commits[i])
		case i < first:
			say(old, a.Commits[i])
		}
	}
	if b.Ending == bisect.Culprit.String() {
		c := a.Commits[first]
		out = append(out, fmt.Sprintf("# first %s commit: [%s] %s", young, c.Hash, oneLine(c.Subject, 200)))
	}
	return out
}

// tellBisection prints what a search found. Only a culprit that was confirmed is an
// answer.
func (a *app) tellBisection(ctx context.Context, r *rigging, o bisectOptions, last orchestrator.Advance) error {
	d := bisectionDocument(last)
	var err error
	if a.json {
		err = a.document(d)
	} else {
		var changes []watch.Change
		if d.Culprit != "" { // what the mirror lacks is left out
			changes, _ = watch.Changes(ctx, filepath.Join(r.dir, "mirrors", o.upstream), d.Culprit)
		}
		_, err = io.WriteString(a.stdout, bisectionText(d, o, changes))
	}
	if err != nil {
		return rig(err)
	}
	if d.Culprit == "" || !d.Verified {
		return &exitError{code: exitRig}
	}
	return nil
}

// nothingFound says what an ending without a culprit means.
var nothingFound = map[string]string{
	"range":          "only a range was found: what lies in it cannot be told apart",
	"bad_before":     "GOOD is bad already: begin earlier",
	"no_culprit":     "it fails everywhere at one rate: no commit made it bad",
	"irreproducible": "BAD does not fail",
	"over_budget":    "the budget is spent; what remains is the range",
	"untestable":     "BAD cannot be tested",
}

func bisectionText(d bisectionDoc, o bisectOptions, changes []watch.Change) string {
	var b strings.Builder
	done := "broken"
	if d.FindFix {
		done = "mended"
	}
	if d.Culprit != "" {
		fmt.Fprintf(&b, "%s was %s by\n\ncommit %s\nAuthor: %s\nDate:   %s\n\n    %s\n\n", o.name, done, d.Culprit, oneLine(d.Author, 200), d.Date, oneLine(d.Subject, 200))
		for _, c := range changes {
			lines := "binary"
			if c.Added >= 0 {
				lines = fmt.Sprintf("+%d -%d", c.Added, c.Deleted)
			}
			fmt.Fprintf(&b, " %s | %s\n", oneLine(c.Path, 200), lines)
		}
	} else {
		fmt.Fprintf(&b, "%s\n", nothingFound[d.Ending])
		if d.Reason != "" {
			fmt.Fprintf(&b, "%s\n", oneLine(d.Reason, 400))
		}
		if len(d.Range) > 0 {
			fmt.Fprintf(&b, "range       %s to %s\n", short(d.Range[0]), short(d.Range[1]))
		}
	}
	confirmed := "not confirmed"
	if d.Verified {
		confirmed = "confirmed by runs of it and of its parent"
	}
	fmt.Fprintf(&b, "\nconfidence  %.2f %%, %s\n", 100*d.Confidence, confirmed)
	fmt.Fprintf(&b, "p           %.3f (%.3f to %.3f), how often a run of a bad commit fails\n", d.P, d.PLow, d.PHigh)
	fmt.Fprintf(&b, "q           %.4f (%.4f to %.4f), of a good one\n", d.Q, d.QLow, d.QHigh)
	fmt.Fprintf(&b, "cost        %d runs and %d builds, %.0f s; confirmation %.0f s of it\n", d.Runs, d.Builds, d.CostS, d.VerifyS)
	if len(d.Skipped) > 0 {
		fmt.Fprintf(&b, "untested    %d commits that do not build or boot\n", len(d.Skipped))
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(d.Log, "\n"))
	return b.String()
}
