package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

type runOptions struct {
	target, machine, suite, layer, image string
	repeat                               int
	seed                                 uint64
}

func runCommand(a *app) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run --target T --suite S[/CASE]",
		Short: "one suite on one machine, without the state's database",
		Long: `Boots an image and runs a suite, or one case of it, on it. Without --image, a
Linux target's packaged kernel is built first, with nothing of a commit.
Nothing is recorded: this is for a look, and for scripts. Exit 0 when it
passed, 1 when a case failed, 125 when nothing could be told.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runOnce(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "linux", "`target` of the pipeline")
	f.StringVar(&o.machine, "machine", "", "`machine` of the pipeline (default: the only one)")
	f.StringVar(&o.suite, "suite", "smoke", "`suite`, or suite/case")
	f.StringVar(&o.layer, "layer", "smoke", "`layer` whose cases run")
	f.StringVar(&o.image, "image", "", "`id` of an image of the state directory")
	f.IntVar(&o.repeat, "repeat", 1, "how `often`, each a cold boot")
	f.Uint64Var(&o.seed, "seed", 1, "seed `N` of the cases' random choices")
	return cmd
}

// workbench is what is needed to run something outside of the queue and the
// database: images, a builder, a runner, and a scratch folder of its own.
type workbench struct {
	file    *pipeline.File
	images  *images.Store
	builder *build.Builder
	runner  *qemu.Runner
	scratch string
	flags   string     // that a command needs to find the images
	lock    *stateLock // nil: somebody else owns the state directory
}

// openBench makes a workbench over the images of a state directory. It owns the
// directory while nobody else does; beside an owner it only adds images.
func (a *app) openBench() (*workbench, error) {
	file, err := a.loadPipeline()
	if err != nil {
		return nil, err
	}
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	open := images.Open
	lock, err := own(dir, "run")
	if _, owned := errors.AsType[*errOwned](err); owned {
		open = images.Share
	} else if err != nil {
		return nil, err
	}
	b := &workbench{lock: lock}
	images, builder, err := openBuilder(dir, open)
	if err != nil {
		b.close()
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "headwatch-run-")
	if err != nil {
		b.close()
		return nil, err
	}
	return &workbench{lock: lock, file: file, images: images, builder: builder, runner: qemu.New(qemu.Config{Log: a.logger(slog.LevelWarn)}), scratch: scratch, flags: a.flags(dir)}, nil
}

func (b *workbench) close() {
	if b.scratch != "" {
		os.RemoveAll(b.scratch)
	}
	if b.lock != nil {
		b.lock.release()
	}
}

func (a *app) runOnce(ctx context.Context, o runOptions) error {
	b, err := a.openBench()
	if err != nil {
		return rig(err)
	}
	defer b.close()
	j, machine, only, err := b.resolve(o)
	if err != nil {
		return err
	}
	if err := preflight(ctx); err != nil {
		return rig(err)
	}
	if j.Image == "" {
		if j.Image, err = b.build(ctx, o.target); err != nil {
			if _, source := errors.AsType[*runners.BuildError](err); source {
				return &exitError{exitBad, err}
			}
			return rig(err)
		}
	}
	var docs []api.Run
	for i := range max(1, o.repeat) {
		j.Repeat, j.Seed = i, o.seed+uint64(i)
		doc, err := b.execute(ctx, j, machine, only)
		if ctx.Err() != nil {
			return rig(fmt.Errorf("stopped"))
		}
		if err != nil {
			return rig(err)
		}
		docs = append(docs, doc)
		if !a.json {
			printRun(a.stdout, doc)
		}
	}
	if a.json {
		var doc any = docs
		if o.repeat <= 1 {
			doc = docs[0]
		}
		if err := a.document(doc); err != nil {
			return rig(err)
		}
	}
	return runVerdict(docs)
}

// resolve checks the names of a run against what there is.
func (b *workbench) resolve(o runOptions) (j orchestrator.Job, m pipeline.Machine, only string, err error) {
	if _, ok := b.file.Targets[o.target]; !ok {
		return j, m, "", usagef("%s: no target %q; it has %s", b.file.Path, o.target, names(b.file.Targets))
	}
	name := o.machine
	if name == "" && len(b.file.Machines) == 1 {
		for name = range b.file.Machines {
		}
	}
	m, ok := b.file.Machines[name]
	if !ok {
		return j, m, "", usagef("%s: no machine %q; give --machine one of %s", b.file.Path, name, names(b.file.Machines))
	}
	suite, only, _ := strings.Cut(o.suite, "/")
	var layer suites.Layer
	if err := layer.UnmarshalText([]byte(o.layer)); err != nil {
		return j, m, "", usagef("--layer: %w", err)
	}
	if err := knowsCase(suite, only, layer); err != nil {
		return j, m, "", err
	}
	return orchestrator.Job{ID: "run-by-hand", Kind: orchestrator.RunJob, Target: o.target, Image: o.image, Machine: name, Suite: suite, Layer: layer}, m, only, nil
}

func knowsCase(suite, name string, layer suites.Layer) error {
	var have []string
	for _, s := range allSuites() {
		have = append(have, s.Name)
		if s.Name != suite {
			continue
		}
		found := false
		for _, c := range s.Cases {
			found = found || (c.Layer == layer && (name == "" || c.Name == name))
		}
		if !found {
			return usagef("suite %s has no case %q in layer %s; see headwatch suites", suite, name, layer)
		}
		return nil
	}
	return usagef("no suite %q; there are %s", suite, strings.Join(have, ", "))
}

// build makes a target's image from nothing but the target.
func (b *workbench) build(ctx context.Context, target string) (string, error) {
	tree := filepath.Join(b.scratch, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return "", err
	}
	var log strings.Builder
	img, err := b.builder.Build(ctx, orchestrator.Recipe(b.file.Targets[target]), runners.Tree{Dir: tree}, &log)
	return img.ID, err
}

// execute runs a job and gives its document.
func (b *workbench) execute(ctx context.Context, j orchestrator.Job, m pipeline.Machine, only string) (api.Run, error) {
	log := console.New(console.Options{})
	defer log.Close()
	r := orchestrator.Run{ID: fmt.Sprintf("hand-%d", j.Repeat), Job: j, Attempt: 1, State: orchestrator.RunFinished, Started: time.Now()}
	var results []suites.Result
	e := orchestrator.Execution{
		Builder: b.builder, Runner: b.runner, Cases: orchestrator.CasesOf(allSuites(), j.Suite, j.Layer, only),
		Image: j.Image, Suite: j.Suite, Seed: j.Seed, Dir: filepath.Join(b.scratch, r.ID), Console: log,
		Record: func(res suites.Result) error { results = append(results, res); return nil },
	}
	var err error
	if r.Status, err = e.Do(ctx, m, b.file.Layers[j.Layer].Timeout, &r); err != nil {
		return api.Run{}, err
	}
	r.Finished = time.Now()
	doc := web.RunDocument(r, results, crashesOf(r.ID, log.Crashes()))
	doc.Reproduce = fmt.Sprintf("headwatch run --target %s --machine %s --image %s --suite %s --layer %s --seed %d%s",
		j.Target, j.Machine, j.Image, strings.TrimSuffix(j.Suite+"/"+only, "/"), j.Layer, j.Seed, b.flags)
	return doc, nil
}

func crashesOf(run string, found []runners.Crash) []orchestrator.Crash {
	var out []orchestrator.Crash
	for _, c := range found {
		out = append(out, orchestrator.Crash{Run: run, Title: c.Title, Signature: c.Signature, Text: c.Text})
	}
	return out
}
