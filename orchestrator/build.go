package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// Places are the folders of a state directory that the stages write to.
type Places struct {
	Root string // the state directory
}

// Log is where the log of a build is kept, relative to Root.
func (p Places) Log(job string) string { return filepath.Join("logs", job+".log") }

// Console is where the console of a run is kept, relative to Root.
func (p Places) Console(run string) string { return filepath.Join("consoles", run+".zst") }

// Artifacts is the folder for what the cases of a run kept, relative to Root.
func (p Places) Artifacts(run string) string { return filepath.Join("artifacts", run) }

// Scratch is a folder for work in flight. Everything below it may be removed
// when nobody owns the state directory.
func (p Places) Scratch(id string) string { return filepath.Join(p.Root, "work", id) }

// build is the stage commit → image: export the tree, build it, store what came
// of it. It returns an error only when nothing could be stored.
func (w *Worker) build(ctx context.Context, j Job) error {
	if _, err := w.Store.BeginBuild(ctx, j); err != nil {
		return err
	}
	target, ok := w.Pipeline.Targets[j.Target]
	if !ok {
		return w.finishBuild(ctx, j, Build{Status: suites.Broken, Reason: fmt.Sprintf("target %q is not in the pipeline any more", j.Target)})
	}
	began := w.now()
	b := w.makeImage(ctx, j, target)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.OS, b.Duration = target.OS, w.now().Sub(began)
	return w.finishBuild(ctx, j, b)
}

func (w *Worker) finishBuild(ctx context.Context, j Job, b Build) error {
	b.ID, b.Target, b.Commit, b.Finished = j.Build, j.Target, j.Commit, w.now()
	if err := w.Store.FinishBuild(ctx, j, b); err != nil {
		return err
	}
	w.Notify(Event{Kind: EventBuild, Job: j.ID, Commit: j.Commit, Target: j.Target, Status: b.Status.String(), Reason: b.Reason})
	return nil
}

// makeImage builds in a scratch folder of its own and says how it went.
func (w *Worker) makeImage(ctx context.Context, j Job, target pipeline.Target) Build {
	broken := func(err error) Build { return Build{Status: suites.Broken, Reason: err.Error()} }
	dir := w.Places.Scratch(j.ID)
	defer os.RemoveAll(dir)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return broken(err)
	}
	src, err := w.Sources(ctx, j.Upstream)
	if err != nil {
		return broken(err)
	}
	r := Recipe(target)
	paths, salt, err := w.Builder.Inputs(ctx, r)
	if err != nil {
		return broken(err)
	}
	ids, err := buildIDs(ctx, src, target, salt, paths, []string{j.Commit})
	if err != nil {
		return broken(err)
	}
	if ids[j.Commit] != j.Build {
		return broken(errors.New("the kernel package, the agent or the target has changed since this build was planned"))
	}
	tree := filepath.Join(dir, "tree")
	if err := ExportPresent(ctx, src, j.Commit, paths, tree); err != nil {
		return broken(err)
	}
	logName := w.Places.Log(j.ID)
	log, err := createLog(filepath.Join(w.Places.Root, logName))
	if err != nil {
		return broken(err)
	}
	defer log.Close()
	img, err := w.Builder.Build(ctx, r, runners.Tree{
		Dir: tree, Commit: j.Commit, Branch: w.Pipeline.Upstreams[j.Upstream].Branch, Clean: j.Clean,
	}, log)
	if bad, ok := errors.AsType[*runners.BuildError](err); ok {
		return Build{Status: suites.Failed, Reason: bad.Reason, Log: logName, Incremental: bad.Incremental}
	}
	if missing, ok := errors.AsType[*runners.UnavailableError](err); ok {
		return Build{Status: suites.Skipped, Reason: missing.Reason, Log: logName}
	}
	if err != nil {
		b := broken(err)
		b.Log = logName
		return b
	}
	return Build{Status: suites.Passed, Image: img.ID, Log: logName, Incremental: img.Incremental}
}

// ExportPresent writes those of the paths below dir that the commit has. A commit
// that lacks one is no error here: the builder knows whether it can do without.
func ExportPresent(ctx context.Context, src Source, commit string, paths []string, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil || len(paths) == 0 {
		return err
	}
	ids, err := src.TreeIDs(ctx, []string{commit}, paths)
	if err != nil {
		return err
	}
	have := ids[commit]
	if len(have) == 0 {
		return nil
	}
	return src.Export(ctx, commit, slices.Sorted(maps.Keys(have)), dir)
}

func createLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.Create(path)
}

func (w *Worker) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}
