package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/report"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/orchestrator/watch"
	"github.com/headwatch/headwatch/suites"
)

func reportCommand(a *app) *cobra.Command {
	format := string(report.Text)
	cmd := &cobra.Command{
		Use: "report [REGRESSION]", Short: "write down a regression for the people who can mend it", Args: cobra.MaximumNArgs(1),
		Long: `Prints what is known of a regression, to paste into a bug tracker, a mailing list or a
comment on a commit: the first bad commit and what it touches, how often the case failed
on it and before it, what the kernel said, and how it was run. Nothing is in it that was
not measured. REGRESSION is its number; without one, they are listed.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.report(cmd.Context(), args, format) },
	}
	cmd.Flags().StringVar(&format, "format", format, "text or markdown")
	return cmd
}

func (a *app) report(ctx context.Context, args []string, format string) (err error) {
	f, err := report.ParseFormat(format)
	if err != nil {
		return usagef("--format: %w", err)
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	db, err := a.sharedStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig(db.Close())) }()
	if len(args) == 0 {
		return a.listRegressions(ctx, db)
	}
	id, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return usagef("regression %q: want its number; see: headwatch report", args[0])
	}
	g, err := db.Regression(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return usagef("regression %d: there is none of that number; see: headwatch report", id)
	}
	if err != nil {
		return rig(err)
	}
	r, err := (gathering{a, db, dir, g}).gather(ctx)
	if err != nil {
		return rig(err)
	}
	if a.json {
		return rig(a.document(r))
	}
	return rig(report.Write(a.stdout, r, f))
}

// listRegressions prints the number and the end of each.
func (a *app) listRegressions(ctx context.Context, db *store.DB) error {
	all, err := db.Regressions(ctx, "", false, 0)
	if err != nil {
		return rig(err)
	}
	type row struct {
		ID      int64  `json:"id"`
		State   string `json:"state"`
		Target  string `json:"target"`
		Case    string `json:"case"`
		Culprit string `json:"culprit,omitempty"`
		Good    string `json:"good,omitempty"`
		Bad     string `json:"bad"`
	}
	rows := []row{}
	for _, g := range all {
		rows = append(rows, row{g.ID, string(g.State), g.Target, g.Case, g.Culprit, g.Good, g.Bad})
	}
	if a.json {
		return rig(a.document(rows))
	}
	for _, r := range rows {
		where := short(r.Culprit)
		if where == "" {
			where = strings.TrimPrefix(short(r.Good)+".."+short(r.Bad), "..")
		}
		fmt.Fprintf(a.stdout, "%d  %-9s  %s  %s  %s\n", r.ID, r.State, r.Target, r.Case, where)
	}
	return nil
}

// gathering collects what a report of a regression says.
type gathering struct {
	a   *app
	db  *store.DB
	dir string
	g   orchestrator.Regression
}

func (t gathering) gather(ctx context.Context) (report.Report, error) {
	g := t.g
	r := report.Report{
		ID: g.ID, Upstream: g.Upstream, Target: g.Target, Machine: g.Machine, Case: g.Case, State: string(g.State),
		Said: g.Reason, Opened: g.Opened, Confidence: g.Confidence, Checks: summaryOf(g.Case), Version: ownVersion(),
	}
	good, err := t.commit(ctx, g.Good)
	if err != nil {
		return r, err
	}
	bad, err := t.commit(ctx, g.Bad)
	if err != nil {
		return r, err
	}
	r.Good, r.Bad, r.Between = asReported(good), asReported(bad), max(0, bad.Position-good.Position-1)
	for _, c := range []struct {
		hash string
		into *report.Count
	}{{g.Good, &r.AtGood}, {g.Bad, &r.AtBad}, {g.FixedBy, &r.AtFix}} {
		if *c.into, err = t.count(ctx, c.hash); err != nil {
			return r, err
		}
	}
	if g.FixedBy != "" {
		fix, err := t.commit(ctx, g.FixedBy)
		if err != nil {
			return r, err
		}
		c := asReported(fix)
		r.FixedBy = &c
	}
	if g.Culprit != "" {
		c := asReported(bad)
		r.Culprit = &c
		r.Changes = t.changes(ctx)
	}
	return r, t.run(ctx, &r)
}

// commit finds a commit; none for an empty hash.
func (t gathering) commit(ctx context.Context, hash string) (orchestrator.Commit, error) {
	if hash == "" {
		return orchestrator.Commit{}, nil
	}
	return t.db.Commit(ctx, hash)
}

func asReported(c orchestrator.Commit) report.Commit {
	return report.Commit{Hash: c.Hash, Author: c.Author, Email: c.Email, Subject: c.Subject, Time: c.Time}
}

// count is how often the case failed on a commit's builds.
func (t gathering) count(ctx context.Context, hash string) (n report.Count, err error) {
	if hash == "" {
		return n, nil
	}
	builds, err := t.db.CommitBuilds(ctx, hash)
	if err != nil {
		return n, err
	}
	seen := map[string]bool{}
	for _, b := range builds {
		if b.Target != t.g.Target || b.Image != "" && seen[b.Image] {
			continue
		}
		seen[b.Image] = true
		counts, err := t.counts(ctx, b)
		if err != nil {
			return n, err
		}
		n.Failed, n.Passed = n.Failed+counts.Failed, n.Passed+counts.Passed
	}
	return n, nil
}

func (t gathering) counts(ctx context.Context, b orchestrator.Build) (verdict.Counts, error) {
	switch {
	case t.g.Case != orchestrator.CaseBuild:
	case b.Status == suites.Failed:
		return verdict.Counts{Failed: 1}, nil
	case b.Status == suites.Passed:
		return verdict.Counts{Passed: 1}, nil
	default:
		return verdict.Counts{}, nil
	}
	if b.Image == "" {
		return verdict.Counts{}, nil
	}
	return t.db.ImageTally(ctx, t.g.Target, b.Image, t.g.Machine, t.g.Case)
}

// changes are the culprit's, as far as its mirror can be read.
func (t gathering) changes(ctx context.Context) []report.Change {
	found, err := watch.Changes(ctx, filepath.Join(t.dir, "mirrors", t.g.Upstream), t.g.Culprit)
	if err != nil {
		fmt.Fprintf(t.a.stderr, "headwatch: what the culprit touches is left out: %v\n", err)
	}
	var out []report.Change
	for _, c := range found {
		out = append(out, report.Change(c))
	}
	return out
}

// run tells of the failing run, the crash that it had and the files that it kept.
func (t gathering) run(ctx context.Context, r *report.Report) error {
	if t.g.Run == "" {
		return nil
	}
	run, err := t.db.Run(ctx, t.g.Run)
	if err != nil {
		return err
	}
	r.Run = &report.Run{ID: run.ID, Kernel: run.Kernel, Accel: run.Accel, Monitor: run.Monitor, Image: run.Job.Image,
		Command: run.Command, Seed: run.Job.Seed, Finished: run.Finished}
	if run.Job.Def != nil {
		r.Hardware = hardware(*run.Job.Def)
	}
	crashes, err := t.db.RunCrashes(ctx, run.ID)
	if err != nil {
		return err
	}
	for _, c := range crashes {
		if strings.Contains(t.g.Reason, c.Title) || t.g.Case == orchestrator.CaseBoot {
			r.Crash = &report.Crash{Title: c.Title, Signature: c.Signature, Text: c.Text}
			break
		}
	}
	kept, err := t.db.RunArtifacts(ctx, run.ID)
	for _, f := range kept {
		if f.Case == t.g.Case {
			r.Artifacts = append(r.Artifacts, report.Artifact{Name: f.Name, MediaType: f.MediaType, SHA256: f.SHA256, Size: f.Size})
		}
	}
	return err
}

// hardware says what a machine is made of, in one line.
func hardware(m pipeline.Machine) string {
	parts := []string{fmt.Sprintf("%d CPUs", m.SMP), fmt.Sprintf("%d MiB", m.Memory)}
	for _, n := range m.NICs {
		parts = append(parts, n.String())
	}
	return strings.Join(append(parts, m.Lines...), ", ")
}

// summaryOf is what a case checks, as its suite says.
func summaryOf(name string) string {
	for _, s := range allSuites() {
		for _, c := range s.Cases {
			if s.Name+"/"+c.Name == name {
				return c.Summary
			}
		}
	}
	return ""
}

// ownVersion is this program's.
func ownVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return version
	}
	return or(version, info.Main.Version)
}
