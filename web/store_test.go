package web_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

// reader adapts the real store: its sums, put into the pages' types.
type reader struct{ *store.DB }

var _ web.Reader = reader{}

func (r reader) Grid(ctx context.Context, commits []string) ([]web.Point, error) {
	stored, err := r.DB.Grid(ctx, commits)
	points := make([]web.Point, len(stored))
	for i, p := range stored {
		points[i] = web.Point{Commit: p.Commit, Target: p.Target, Build: p.Build}
		for _, t := range p.Runs {
			points[i].Runs = append(points[i].Runs, web.RunTally{Run: t.Run, Counts: api.Counts(t.Counts), Boot: t.Boot})
		}
	}
	return points, err
}

func (r reader) Totals(ctx context.Context) (web.Totals, error) {
	n, err := r.DB.Counts(ctx, "")
	return web.Totals{Commits: n.Commits, Builds: n.Builds, Runs: n.Runs, Results: api.Counts(n.Results)}, err
}

func unknown(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrAmbiguous)
}

// world is a real store that is filled as a worker would.
type world struct {
	t  testing.TB
	db *store.DB
	reader
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "headwatch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.Now = now
	return &world{t, db, reader{db}}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// build makes a build with an outcome; a zero status leaves the job open.
func (w *world) build(b orchestrator.Build) orchestrator.Build {
	w.t.Helper()
	job := orchestrator.Job{ID: "build-" + b.ID, Kind: orchestrator.BuildJob, Commit: b.Commit, Target: b.Target, Build: b.ID}
	w.must(w.db.Apply(w.t.Context(), orchestrator.Decision{Upstream: "freebsd", Target: b.Target, Jobs: []orchestrator.Job{job}}))
	if b.Status != 0 {
		w.must(w.db.FinishBuild(w.t.Context(), job, b))
	}
	return b
}

// begin starts a run of a planned job.
func (w *world) begin(j orchestrator.Job, r orchestrator.Run) orchestrator.Run {
	w.t.Helper()
	j.Kind, j.ID = orchestrator.RunJob, "run-"+j.Build[:8]+"-"+j.Machine+"-"+j.Suite
	if j.Layer == 0 {
		j.Layer = suites.Smoke
	}
	w.must(w.db.Apply(w.t.Context(), orchestrator.Decision{Upstream: "freebsd", Target: j.Target, Jobs: []orchestrator.Job{j}}))
	begun, err := w.db.BeginRun(w.t.Context(), j, "lab1", r.Started)
	w.must(err)
	r.ID, r.Job, r.Attempt, r.Started, r.Host = begun.ID, begun.Job, begun.Attempt, begun.Started, begun.Host
	return r
}

// run is begin, the results, and the end.
func (w *world) run(j orchestrator.Job, r orchestrator.Run, results []suites.Result, crashes ...orchestrator.Crash) orchestrator.Run {
	w.t.Helper()
	r = w.begin(j, r)
	var words []suites.Status
	for _, res := range results {
		w.must(w.db.AddResult(w.t.Context(), r.ID, res))
		words = append(words, res.Status)
	}
	if r.Status == 0 {
		r.Status = suites.Summarize(words)
	}
	r.State = orchestrator.RunFinished
	w.must(w.db.FinishRun(w.t.Context(), r, crashes))
	return r
}

func (w *world) regress(g orchestrator.Regression) {
	w.t.Helper()
	w.must(w.db.Apply(w.t.Context(), orchestrator.Decision{Upstream: g.Upstream, Target: g.Target, Regressions: []orchestrator.Regression{g}}))
}
