package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/demo"
)

// demoDocument is what `demo --json` prints.
type demoDocument struct {
	Commits     int              `json:"commits"`
	Builds      int              `json:"builds"`
	Runs        int              `json:"runs"`
	Results     map[string]int   `json:"results"`
	Regressions []demoRegression `json:"regressions"`
	Dashboard   string           `json:"dashboard"`
	Reason      string           `json:"reason,omitempty"` // why it ended before all was told
	Seed        uint64           `json:"seed"`
	State       string           `json:"state"`
	DurationS   float64          `json:"duration_s"`
	// What the orchestrator itself took, without QEMU and git.
	FirstVerdictS float64 `json:"first_verdict_s"` // from start to the first finished run; 0: all were finished before
	CPUS          float64 `json:"cpu_s"`
	ChildrenCPUS  float64 `json:"children_cpu_s"` // of QEMU, git and other tools
	MaxRSSBytes   int64   `json:"max_rss_bytes"`
}

type demoRegression struct {
	Case            string  `json:"case"`
	Culprit         string  `json:"culprit"`
	ExpectedCulprit string  `json:"expected_culprit"`
	Confidence      float64 `json:"confidence"`
	Run             string  `json:"run,omitempty"` // a failing one
}

// demoResult is the demo's final comparison, the only place that asks which
// commit is the culprit.
func (r *rigging) demoResult(ctx context.Context, up *demo.Upstream) (demoDocument, error) {
	counts, err := r.db.Counts(ctx, demoUpstream)
	if err != nil {
		return demoDocument{}, err
	}
	doc := demoDocument{
		Commits: counts.Commits, Builds: counts.Builds, Runs: counts.Runs,
		Results: resultWords(counts.Results), Seed: up.Seed, State: r.dir, Regressions: []demoRegression{},
	}
	regs, err := r.db.Regressions(ctx, demoUpstream, false, 100)
	if err != nil {
		return demoDocument{}, err
	}
	at, name := demo.Answer(up.Seed)
	found := false
	for _, g := range regs {
		if g.State == orchestrator.Withdrawn {
			continue
		}
		d := demoRegression{Case: g.Case, Culprit: g.Culprit, Confidence: g.Confidence, Run: g.Run}
		if g.Case == name && !found {
			found = true
			d.ExpectedCulprit = up.Hash(at)
		}
		doc.Regressions = append(doc.Regressions, d)
	}
	if !found {
		doc.Regressions = append(doc.Regressions, demoRegression{Case: name, ExpectedCulprit: up.Hash(at)})
	}
	return doc, nil
}

// tellBrokenDemo prints what is known of a demo that the rig, or who started it, has
// ended, unless its document is out already.
func (a *app) tellBrokenDemo(ctx context.Context, r *rigging, up *demo.Upstream, url string, why error) error {
	if !a.json || a.told {
		return nil
	}
	doc, err := r.demoResult(context.WithoutCancel(ctx), up)
	if err != nil {
		return nil // the store is what failed; why says so
	}
	doc.Dashboard, doc.Reason = url, why.Error()
	doc.usage()
	return a.document(doc)
}

// demoVerdict is good when every seeded regression was found with the right
// culprit and nobody else was accused.
func demoVerdict(doc demoDocument) error {
	if slices.ContainsFunc(doc.Regressions, func(d demoRegression) bool { return d.Culprit != d.ExpectedCulprit }) {
		return errBad
	}
	return nil
}

func (a *app) printDemo(ctx context.Context, r *rigging, doc demoDocument) error {
	if a.json {
		return a.document(doc)
	}
	w := a.stdout
	fmt.Fprintf(w, "\n%d commits, %d builds, %d runs in %s\n", doc.Commits, doc.Builds, doc.Runs, seconds(doc.DurationS))
	for _, d := range doc.Regressions {
		switch {
		case d.Culprit == "":
			fmt.Fprintf(w, "%s: no culprit found, expected %s\n", d.Case, short(d.ExpectedCulprit))
			continue
		case d.Culprit != d.ExpectedCulprit:
			fmt.Fprintf(w, "%s: accused %s, expected %q\n", d.Case, short(d.Culprit), short(d.ExpectedCulprit))
			continue
		}
		c, err := r.db.Commit(ctx, d.Culprit)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s was broken by %s %q by %s (confidence %.1f %%), which is right\n", d.Case, short(d.Culprit), c.Subject, c.Author, 100*d.Confidence)
		if d.Run != "" {
			fmt.Fprintf(w, "see it fail again: headwatch reproduce %s%s\n", d.Run, r.flags)
		}
	}
	fmt.Fprintf(w, "state: %s\ndashboard: %s\n", doc.State, doc.Dashboard)
	return nil
}
