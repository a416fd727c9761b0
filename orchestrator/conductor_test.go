package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// lab is a conductor over a real store. Its upstream, builder and runner are given,
// and its worker is the test.
type lab struct {
	*testing.T
	db        *store.DB
	conductor *orchestrator.Conductor
	now       time.Time
	log       strings.Builder
	monitor   string // what the runner says of itself
	noMonitor error

	line    []orchestrator.Commit
	queued  []orchestrator.Job
	seen    map[string]bool // jobs that were queued
	order   []string        // jobs in the order in which they were carried out
	outcome func(commit string) suites.Status
	result  func(commit, name string) suites.Status
	image   func(commit string) string // that its build makes
}

const (
	labUpstream = "up"
	labTarget   = "linux"
)

// newLab makes a lab whose upstream has n commits, each a build of its own. One
// suite of one case runs in the smoke layer.
func newLab(t *testing.T, n int) *lab {
	t.Helper()
	l := &lab{
		T: t, now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), monitor: "QEMU 7.2", seen: map[string]bool{},
		outcome: func(string) suites.Status { return suites.Passed },
		result:  func(string, string) suites.Status { return suites.Passed },
		image:   func(commit string) string { return "sha256:" + commit },
	}
	l.grow(n)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "headwatch.db"))
	l.ok(err)
	t.Cleanup(func() { l.ok(db.Close()) })
	db.Now = func() time.Time { return l.now }
	l.db = db
	file := &pipeline.File{
		Targets:   map[string]pipeline.Target{labTarget: {Name: labTarget, OS: "linux", Source: "artifacts"}},
		Upstreams: map[string]pipeline.Upstream{labUpstream: {Name: labUpstream}},
	}
	log := slog.New(slog.NewTextHandler(&l.log, nil))
	l.conductor = &orchestrator.Conductor{
		Pipeline: file, Store: db, Queue: labQueue{l}, Log: log, Runner: labRunner{l},
		Sources:   func(context.Context, string) (orchestrator.Source, error) { return labSource{l: l}, nil },
		Discovery: orchestrator.Discovery{Store: db, Builder: labBuilder{}, Log: log},
		Planner: orchestrator.Planner{
			Cells:    []pipeline.Cell{{Upstream: labUpstream, Target: labTarget, Machine: "small", Layers: []suites.Layer{suites.Smoke}}},
			Machines: map[string]pipeline.Machine{"small": {Name: "small", SMP: 1, Memory: 256}},
			Layers:   map[suites.Layer]pipeline.Layer{suites.Smoke: {Suites: []string{"s"}, Repeat: 1}},
			Suites:   []suites.Suite{{Name: "s", Cases: []suites.Case{{Name: "a", Layer: suites.Smoke}}}},
		},
	}
	return l
}

func (l *lab) ok(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// grow lets the upstream have n commits.
func (l *lab) grow(n int) {
	for i := len(l.line); i < n; i++ {
		l.line = append(l.line, orchestrator.Commit{Upstream: labUpstream, Hash: commitName(i), Position: i + 1, Author: "A", Email: "a@example.org", Time: l.now})
	}
}

func commitName(i int) string { return fmt.Sprintf("c%03d", i) }

// labSource is an upstream that shows its line as far as it has grown.
type labSource struct {
	orchestrator.Source // nothing else is asked
	l                   *lab
}

func (s labSource) Fetch(_ context.Context, known string) (orchestrator.Update, error) {
	u := orchestrator.Update{Head: s.l.line[len(s.l.line)-1].Hash}
	for _, c := range s.l.line {
		if c.Hash > known {
			u.New = append(u.New, c)
		}
	}
	return u, nil
}

type labBuilder struct{}

func (labBuilder) Inputs(context.Context, runners.Recipe) ([]string, string, error) {
	return nil, "salt", nil
}

func (labBuilder) Build(context.Context, runners.Recipe, runners.Tree, io.Writer) (runners.Image, error) {
	return runners.Image{}, errors.New("not asked for")
}

func (labBuilder) Debug(context.Context, string, string) (string, error) { return "", nil }

func (labBuilder) Open(context.Context, string, string) (runners.Bootable, error) {
	return runners.Bootable{}, errors.New("not asked for")
}

type labRunner struct{ l *lab }

func (r labRunner) Describe(context.Context) (string, error) { return r.l.monitor, r.l.noMonitor }

// labQueue hands jobs out in the order in which they came.
type labQueue struct{ l *lab }

func (q labQueue) Publish(_ context.Context, j orchestrator.Job) error {
	if !q.l.seen[j.ID] {
		q.l.seen[j.ID] = true
		q.l.queued = append(q.l.queued, j)
	}
	return nil
}

func (q labQueue) Next(context.Context) (orchestrator.Lease, error) {
	return nil, errors.New("the test is the worker")
}

func (q labQueue) Rebuild(_ context.Context, jobs []orchestrator.Job) error {
	q.l.queued = jobs
	return nil
}

// pass is one night: the newest commit is selected, and everything that follows
// from it is done.
func (l *lab) pass() {
	l.Helper()
	l.now = l.now.Add(24 * time.Hour)
	l.order = nil
	_, err := l.conductor.Discover(l.Context(), labUpstream)
	l.ok(err)
	l.ok(l.conductor.SelectNewest(l.Context(), labUpstream, 0))
	for range 1000 {
		l.ok(l.conductor.Plan(l.Context(), labUpstream))
		if len(l.queued) == 0 {
			return
		}
		j := l.queued[0]
		l.queued = l.queued[1:]
		l.now = l.now.Add(time.Second)
		l.order = append(l.order, string(j.Kind)+" "+j.Commit)
		if j.Kind == orchestrator.BuildJob {
			l.build(j)
		} else {
			l.run(j)
		}
	}
	l.Fatal("the pass does not end")
}

func (l *lab) build(j orchestrator.Job) {
	_, err := l.db.BeginBuild(l.Context(), j)
	if errors.Is(err, orchestrator.ErrJobDone) {
		return // nobody wants it any more
	}
	l.ok(err)
	b := orchestrator.Build{ID: j.Build, Target: j.Target, Commit: j.Commit, Status: l.outcome(j.Commit), OS: "linux", Finished: l.now}
	if b.Status == suites.Passed {
		b.Image = l.image(j.Commit)
	} else {
		b.Reason = "disk full"
	}
	l.ok(l.db.FinishBuild(l.Context(), j, b))
}

func (l *lab) run(j orchestrator.Job) {
	r, err := l.db.BeginRun(l.Context(), j, "host", l.now)
	if errors.Is(err, orchestrator.ErrJobDone) {
		return
	}
	l.ok(err)
	var all []suites.Status
	for _, name := range []string{orchestrator.CaseBoot, "s/a"} {
		s := l.result(j.Commit, name)
		if s == suites.Broken {
			all = append(all, s)
			break // nothing is recorded of a run that the rig broke
		}
		res := suites.Result{Case: name, Status: s}
		if s == suites.Failed {
			res.Reason = "saw 2, expected 3"
		}
		l.ok(l.db.AddResult(l.Context(), r.ID, res))
		all = append(all, s)
	}
	r.State, r.Status, r.Finished = orchestrator.RunFinished, suites.Summarize(all), l.now
	if r.BootID = fmt.Sprintf("%s repeat %d", j.Image, j.Repeat); j.Boot > 0 {
		r.BootID = fmt.Sprintf("%s boot %d", j.Image, j.Boot)
	}
	l.ok(l.db.FinishRun(l.Context(), r, nil))
}

// regressions lists what is known, oldest first.
func (l *lab) regressions() []orchestrator.Regression {
	l.Helper()
	v, err := l.conductor.View(l.Context(), labUpstream, l.conductor.Targets(labUpstream)[0])
	l.ok(err)
	return v.Regressions
}

// told lists what a report would say, and tells it.
func (l *lab) told() (out []string) {
	l.Helper()
	list, err := l.db.Unreported(l.Context(), labUpstream)
	l.ok(err)
	for _, g := range list {
		out = append(out, fmt.Sprintf("%s %s %s..%s %s", g.State, g.Case, g.Good, g.Bad, g.Culprit))
		l.ok(l.db.Reported(l.Context(), g.ID, g.State))
	}
	return out
}

// badFrom lets case s/a fail from a commit on.
func badFrom(culprit int) func(commit, name string) suites.Status {
	return func(commit, name string) suites.Status {
		if name == "s/a" && commit >= commitName(culprit) {
			return suites.Failed
		}
		return suites.Passed
	}
}

// A rig that cannot be described tests nothing and says so, once per reason.
func TestRigThatCannotBeDescribed(t *testing.T) {
	l := newLab(t, 3)
	l.noMonitor = errors.New("qemu-system-x86_64 is not installed")
	err := l.conductor.Pass(t.Context(), map[string]suites.Layer{labUpstream: 0})
	if err == nil || !strings.Contains(err.Error(), "what boots linux cannot be described: qemu-system-x86_64 is not installed") {
		t.Errorf("a pass without a monitor: %v", err)
	}
	for range 3 {
		l.ok(l.conductor.Plan(t.Context(), labUpstream))
	}
	if n := strings.Count(l.log.String(), "cannot be planned"); n != 1 {
		t.Errorf("told %d times:\n%s", n, l.log.String())
	}
	l.noMonitor = nil
	l.pass()
	if len(l.order) != 2 {
		t.Errorf("after the repair: %v, want a build and a run", l.order)
	}
}

// An upgraded monitor that makes a case fail is no commit's fault.
func TestUpgradedMonitorAccusesNobody(t *testing.T) {
	l := newLab(t, 10)
	l.pass()
	l.grow(30)
	l.monitor, l.result = "QEMU 8.0", badFrom(0)
	l.pass()
	for _, g := range l.regressions() {
		if g.State != orchestrator.Ranged || g.Culprit != "" || g.Good != "" || g.Bad != commitName(9) {
			t.Errorf("%+v, want bad when this rig first looked, and nobody accused", g)
		}
	}
	if n := len(l.regressions()); n != 1 {
		t.Errorf("%d regressions, want one finding", n)
	}
}
