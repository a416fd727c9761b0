package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// printRun shows a run as people read it.
func printRun(w io.Writer, doc handRun) {
	for _, r := range doc.Results {
		fmt.Fprintf(w, "%-24s %-8s %8s%s\n", r.Case, r.Status, seconds(r.DurationS), because(r.Reason))
		for _, f := range r.Artifacts {
			fmt.Fprintf(w, "  %s\n", f.Path)
		}
	}
	for _, c := range doc.Crashes {
		at := ""
		if c.Where != "" {
			at = " (" + c.Where + ")"
		}
		fmt.Fprintf(w, "crash: %s%s\n", c.Title, at)
	}
	if doc.Console != "" {
		fmt.Fprintf(w, "console: %s\n", doc.Console)
	}
	fmt.Fprintf(w, "%s: %s\n", doc.Suite, doc.Status)
}

// tellRuns prints the document of runs by hand, which is one run's when only one was
// asked for, and gives the exit code: err's, when the runs ended with it.
func (a *app) tellRuns(docs []handRun, single bool, err error) error {
	if e, ok := errors.AsType[*exitError](err); ok && e.code == exitUsage {
		return err
	}
	if a.json {
		var doc any = docs
		if single {
			doc = docs[0]
		}
		if err := a.document(doc); err != nil {
			return rig(err)
		}
	}
	if err != nil {
		return err
	}
	return runVerdict(docs)
}

// runVerdict gives the exit code of runs: bad when one failed, the rig's when
// nothing could be told.
func runVerdict(docs []handRun) error {
	has := func(word string) bool {
		return slices.ContainsFunc(docs, func(d handRun) bool { return d.Status == word })
	}
	switch {
	case has(suites.Failed.String()):
		return errBad
	case has(suites.Broken.String()) || !has(suites.Passed.String()):
		return &exitError{code: exitRig}
	}
	return nil
}

// resultWords counts results by their word.
func resultWords(n store.ResultCounts) map[string]int {
	out := map[string]int{}
	for _, s := range suites.Statuses {
		out[s.String()] = n.Of(s)
	}
	return out
}

// regressionLine is a regression in one line of a report.
func regressionLine(g api.Regression) string {
	where := g.Target
	if g.Machine != "" {
		where += " on " + g.Machine
	}
	switch orchestrator.RegressionState(g.State) {
	case orchestrator.Located:
		return fmt.Sprintf("%s: %s broken by %s %q by %s (confidence %.1f %%)%s", where, g.Case, short(g.Culprit), g.CulpritSubject, g.CulpritAuthor, 100*g.Confidence, because(g.Reason))
	case orchestrator.Ranged:
		if g.Good == "" {
			return fmt.Sprintf("%s: %s bad at the first look, %s%s", where, g.Case, short(g.Bad), because(g.Reason))
		}
		return fmt.Sprintf("%s: %s broken between %s and %s; what lies between cannot be told apart%s", where, g.Case, short(g.Good), short(g.Bad), because(g.Reason))
	}
	return fmt.Sprintf("%s: %s good at %s, bad at %s; the search goes on%s", where, g.Case, short(g.Good), short(g.Bad), because(g.Reason))
}

// regressionDoc is a regression as the API shows it.
func regressionDoc(ctx context.Context, r *rigging, g orchestrator.Regression) (api.Regression, error) {
	d := api.Regression{
		ID: g.ID, Upstream: g.Upstream, Target: g.Target, Machine: g.Machine, Case: g.Case, State: string(g.State),
		Good: g.Good, Bad: g.Bad, Culprit: g.Culprit, FixedBy: g.FixedBy, Confidence: g.Confidence, Reason: g.Reason, Run: g.Run,
		Opened: g.Opened.UTC(), Closed: g.Closed.UTC(),
	}
	if g.Culprit == "" {
		return d, nil
	}
	c, err := r.db.Commit(ctx, g.Culprit)
	d.CulpritSubject, d.CulpritAuthor = c.Subject, c.Author
	return d, err
}

// names lists the keys of a section of the pipeline.
func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// eventTally counts what a pass did.
type eventTally struct {
	mu    sync.Mutex
	build int
	run   int
	rig   map[rigKey]string
}

// rigKey is what infra errors are told apart by: what was tried again and broke
// again is one, and what was told in the end is none.
type rigKey struct {
	kind           orchestrator.EventKind
	commit, target string
	suite          string // of runs: what the jobs of one suite on one machine share
}

func rigKeyOf(e orchestrator.Event) rigKey {
	k := rigKey{kind: e.Kind, commit: e.Commit, target: e.Target}
	if e.Kind == orchestrator.EventRun {
		// A run's job is named after what it is about, and then its repeat.
		k.suite = e.Job[:max(0, strings.LastIndexByte(e.Job, '-'))]
	}
	return k
}

func (t *eventTally) count(e orchestrator.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	what := ""
	switch e.Kind {
	case orchestrator.EventBuild:
		t.build++
		what = fmt.Sprintf("build of %s for %s", short(e.Commit), e.Target)
	case orchestrator.EventRun:
		t.run++
		what = fmt.Sprintf("run %s of %s for %s", e.Run, short(e.Commit), e.Target)
	default:
		return
	}
	if t.rig == nil {
		t.rig = map[rigKey]string{}
	}
	key := rigKeyOf(e)
	delete(t.rig, key)
	untold := e.Status == suites.Broken.String() || e.Kind == orchestrator.EventBuild && e.Status == suites.Skipped.String()
	if untold {
		t.rig[key] = what + because(e.Reason)
	}
}

func (t *eventTally) builds() int { t.mu.Lock(); defer t.mu.Unlock(); return t.build }
func (t *eventTally) runs() int   { t.mu.Lock(); defer t.mu.Unlock(); return t.run }

// rigErrors lists what broke last, of each build and suite that was not told after.
func (t *eventTally) rigErrors() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Values(t.rig))...)
}
