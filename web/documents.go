package web

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// Limits of what is read for one page.
const (
	maxRegressions = 200
	maxBuildRuns   = 200
)

// overview reads the document of the first page.
func (s *site) overview(ctx context.Context) (doc api.Overview, err error) {
	all, err := s.regressions(ctx)
	if err != nil {
		return doc, err
	}
	doc.Regressions = standing(all)
	jobs, err := s.read.OpenJobs(ctx)
	if err != nil {
		return doc, err
	}
	running, err := s.read.RunningRuns(ctx)
	if err != nil {
		return doc, err
	}
	if doc.Health, err = s.healthDoc(ctx, len(jobs), len(running), len(doc.Regressions)); err != nil {
		return doc, err
	}
	doc.Running = summaries(running)
	names, err := s.read.Upstreams(ctx)
	if err != nil {
		return doc, err
	}
	doc.Upstreams = make([]api.Upstream, 0, len(names))
	for _, name := range names {
		commits, err := s.read.RecentCommits(ctx, name, s.opt.Commits, 0)
		if err != nil {
			return doc, err
		}
		points, err := s.read.Grid(ctx, hashes(commits))
		if err != nil {
			return doc, err
		}
		doc.Upstreams = append(doc.Upstreams, grid(name, commits, points, jobs))
	}
	return doc, nil
}

func (s *site) healthDoc(ctx context.Context, jobs, running, regressions int) (api.Health, error) {
	t, err := s.read.Totals(ctx)
	if err != nil {
		return api.Health{}, err
	}
	return api.Health{
		Status: "ok", Now: s.opt.Now().UTC().Truncate(time.Second), Running: running, OpenJobs: jobs,
		Commits: t.Commits, Builds: t.Builds, Runs: t.Runs, Results: t.Results, OpenRegressions: regressions,
	}, nil
}

// standing leaves out the regressions that more runs did not bear out.
func standing(all []api.Regression) []api.Regression {
	return slices.DeleteFunc(slices.Clone(all), func(r api.Regression) bool {
		return r.State == string(orchestrator.Withdrawn)
	})
}

// regressions reads the newest: those searched for first, withdrawn ones last.
func (s *site) regressions(ctx context.Context) ([]api.Regression, error) {
	all, err := s.read.Regressions(ctx, "", false, maxRegressions)
	if err != nil {
		return nil, err
	}
	docs := make([]api.Regression, 0, len(all))
	for _, r := range all {
		d, err := s.regression(ctx, r)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	slices.SortStableFunc(docs, func(a, b api.Regression) int {
		return cmp.Or(cmp.Compare(regressionRank(a), regressionRank(b)), b.Opened.Compare(a.Opened), cmp.Compare(b.ID, a.ID))
	})
	return docs, nil
}

func (s *site) regression(ctx context.Context, r orchestrator.Regression) (api.Regression, error) {
	d := api.Regression{
		ID: r.ID, Upstream: r.Upstream, Target: r.Target, Machine: r.Machine, Case: r.Case, State: string(r.State),
		Good: r.Good, Bad: r.Bad, Culprit: r.Culprit, FixedBy: r.FixedBy, Confidence: r.Confidence, Reason: r.Reason, Run: r.Run,
		Opened: r.Opened.UTC(), Closed: r.Closed.UTC(),
	}
	if r.Culprit == "" {
		return d, nil
	}
	c, err := s.read.Commit(ctx, r.Culprit)
	if err != nil && !s.opt.Unknown(err) {
		return d, err
	}
	d.CulpritSubject, d.CulpritAuthor = c.Subject, c.Author
	return d, nil
}

func regressionRank(r api.Regression) int {
	switch orchestrator.RegressionState(r.State) {
	case orchestrator.Suspected:
		return 0
	case orchestrator.Fixed, orchestrator.Withdrawn:
		return 2
	}
	return 1
}

// run reads the document of one run.
func (s *site) run(ctx context.Context, id string) (api.Run, orchestrator.Run, error) {
	r, err := s.read.Run(ctx, id)
	if err != nil {
		return api.Run{}, r, s.missing(err, "run", id)
	}
	results, err := s.read.Results(ctx, r.ID)
	if err != nil {
		return api.Run{}, r, err
	}
	crashes, err := s.read.RunCrashes(ctx, r.ID)
	if err != nil {
		return api.Run{}, r, err
	}
	artifacts, err := s.read.RunArtifacts(ctx, r.ID)
	if err != nil {
		return api.Run{}, r, err
	}
	d := RunDocument(r, results, crashes)
	attach(&d, artifacts)
	d.Reproduce += s.opt.Flags
	return d, r, nil
}

// RunDocument is the `run` document of a run and what its cases said.
func RunDocument(r orchestrator.Run, results []suites.Result, crashes []orchestrator.Crash) api.Run {
	d := api.Run{
		Run: r.ID, Image: r.Job.Image, Suite: r.Job.Suite, Seed: r.Job.Seed, Status: statusWord(r.Status),
		Results: make([]api.Result, 0, len(results)), Crashes: make([]api.Crash, 0, len(crashes)),
		State: string(r.State), Reason: r.Reason, Job: r.Job.ID, Attempt: r.Attempt, Repeat: r.Job.Repeat,
		Layer: layerWord(r.Job.Layer), Upstream: r.Job.Upstream, Commit: r.Job.Commit, Build: r.Job.Build, Target: r.Job.Target, Machine: r.Job.Machine,
		Kernel: r.Kernel, Accel: r.Accel, Monitor: r.Monitor, BootID: r.BootID, BootTimeS: seconds(r.BootTime),
		Host: r.Host, Command: r.Command, Reproduce: "headwatch reproduce " + r.ID,
		Started: r.Started.UTC(), Finished: r.Finished.UTC(),
	}
	if m := r.Job.Def; m != nil {
		d.Spec = &api.Machine{SMP: m.SMP, Memory: m.Memory, Accel: m.Accel, Control: m.Control, Clock: m.Clock, Lines: m.Lines, NICs: []api.NIC{}}
		for _, n := range m.NICs {
			d.Spec.NICs = append(d.Spec.NICs, api.NIC(n))
		}
	}
	for _, res := range results {
		d.Results = append(d.Results, api.Result{
			Case: res.Case, Status: statusWord(res.Status), Reason: res.Reason,
			DurationS: seconds(res.Duration), Metrics: finite(res.Metrics), Output: res.Output,
		})
	}
	for _, c := range crashes {
		d.Crashes = append(d.Crashes, crashDocument(c))
	}
	return d
}

// commit reads the document of one commit.
func (s *site) commit(ctx context.Context, hash string) (api.Commit, error) {
	c, err := s.read.Commit(ctx, hash)
	if err != nil {
		return api.Commit{}, s.missing(err, "commit", hash)
	}
	points, err := s.read.Grid(ctx, []string{c.Hash})
	if err != nil {
		return api.Commit{}, err
	}
	d := api.Commit{Upstream: c.Upstream, Builds: []api.Build{}, Runs: []api.RunSummary{}}
	d.CommitRow = grid(c.Upstream, []orchestrator.Commit{c}, points, nil).Commits[0]
	builds, err := s.read.CommitBuilds(ctx, c.Hash)
	if err != nil {
		return d, err
	}
	for _, b := range builds {
		d.Builds = append(d.Builds, api.Build{
			Build: b.ID, Target: b.Target, Commit: b.Commit, Status: statusWord(b.Status), Reason: b.Reason,
			Image: b.Image, OS: b.OS, DurationS: seconds(b.Duration), Finished: b.Finished.UTC(),
		})
		runs, err := s.read.RunsOfBuild(ctx, b.ID, maxBuildRuns)
		if err != nil {
			return d, err
		}
		d.Runs = append(d.Runs, summaries(runs)...)
	}
	slices.SortStableFunc(d.Runs, func(a, b api.RunSummary) int { return b.Started.Compare(a.Started) })
	return d, nil
}

func summaries(runs []orchestrator.Run) []api.RunSummary {
	docs := make([]api.RunSummary, 0, len(runs))
	for _, r := range runs {
		d := api.RunSummary{
			Run: r.ID, Suite: r.Job.Suite, Layer: layerWord(r.Job.Layer), Repeat: r.Job.Repeat, Commit: r.Job.Commit,
			Target: r.Job.Target, Machine: r.Job.Machine, Build: r.Job.Build, State: string(r.State),
			Status: statusWord(r.Status), Reason: r.Reason, Host: r.Host, Started: r.Started.UTC(), Finished: r.Finished.UTC(),
		}
		if !r.Finished.IsZero() {
			d.DurationS = seconds(r.Finished.Sub(r.Started))
		}
		docs = append(docs, d)
	}
	return docs
}

func hashes(commits []orchestrator.Commit) []string {
	list := make([]string, len(commits))
	for i, c := range commits {
		list[i] = c.Hash
	}
	return list
}

// statusWord is empty for a status that has not been set: JSON leaves it out.
func statusWord(s suites.Status) string {
	if s == 0 {
		return ""
	}
	return s.String()
}

func layerWord(l suites.Layer) string {
	if l == 0 {
		return ""
	}
	return l.String()
}

// seconds rounds to milliseconds: the rest is noise.
func seconds(d time.Duration) float64 {
	return math.Round(d.Seconds()*1e3) / 1e3
}

// finite leaves out what JSON cannot say.
func finite(metrics map[string]float64) map[string]float64 {
	kept := make(map[string]float64, len(metrics))
	for name, v := range metrics {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			kept[name] = v
		}
	}
	return kept
}
