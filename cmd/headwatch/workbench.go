package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/watch"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/freebsd"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/suites"
)

// workbench is what is needed to build and run something by hand, outside of the
// queue and the database: images, a builder, a runner, and a scratch folder.
type workbench struct {
	file    *pipeline.File
	suites  []suites.Suite
	dir     string // the state directory
	images  *images.Store
	builder *build.Builder
	runner  *qemu.Runner
	mirrors *mirrors
	scratch *scratch
	log     *slog.Logger
	flags   string     // that a command needs to find the images
	lock    *stateLock // nil: somebody else owns the state directory
	// keep takes the template of each run when it is over; nil: none outlives its run.
	keep func(runners.Template)
	// keepAll says that everything that cases keep is wanted, of those that passed too.
	keepAll bool
}

// openBench makes a workbench over the images of a state directory. It owns the
// directory while nobody else does; beside an owner it only adds images.
func (a *app) openBench(file *pipeline.File, dir, command string) (b *workbench, err error) {
	log := a.logger(slog.LevelWarn)
	b = &workbench{file: file, dir: dir, log: log, flags: a.flags(dir), runner: qemu.New(qemu.Config{Log: log, Passthrough: nicsPath(dir)}),
		mirrors: &mirrors{dir: dir, file: file, log: log, open: map[string]*watch.Mirror{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.suites, err = suitesOf(file); err != nil {
		return b, err
	}
	open := images.Open
	b.lock, err = own(dir, command)
	if _, owned := errors.AsType[*errOwned](err); owned {
		open = images.Share
	} else if err != nil {
		return b, err
	}
	if b.images, b.builder, err = openBuilder(dir, open); err != nil {
		return b, err
	}
	b.scratch, err = claimScratch(dir, command)
	return b, err
}

func (b *workbench) close() error {
	var err error
	if b.scratch != nil {
		err = b.scratch.release()
	}
	if b.images != nil {
		err = errors.Join(err, b.images.Close())
	}
	if b.lock != nil {
		b.lock.release()
	}
	return err
}

// sourceOptions say what of a target is built: a folder, a commit, or neither.
type sourceOptions struct {
	src      string // folder that holds a tree
	commit   string // revision of an upstream
	upstream string // whose revision it is
	kernconf string // file with a kernel configuration, instead of the target's
	clean    bool
}

// check says what is wrong with the options for a target, before anything is made.
func (o sourceOptions) check(file *pipeline.File, target string) error {
	t, ok := file.Targets[target]
	if !ok {
		return usagef("%s: no target %q; it has %s", file.Path, target, names(file.Targets))
	}
	if o.src != "" && o.commit != "" {
		return usagef("--src and --commit are two sources: give one")
	}
	if err := o.checkSrc(t); err != nil {
		return err
	}
	if (o.src != "" || o.commit != "") && t.Source == "package" && t.Overlay == "" {
		return usagef("target %s reads nothing of a source tree: --src and --commit would change nothing", target)
	}
	if o.kernconf != "" && t.Source != "tree" {
		return usagef("--kernconf is for targets with source: tree, and %s has %s", target, t.Source)
	}
	if err := o.checkKernconf(); err != nil {
		return err
	}
	if _, ok := file.Upstreams[o.upstream]; o.upstream != "" && !ok {
		return usagef("%s: no upstream %q; it has %s", file.Path, o.upstream, names(file.Upstreams))
	}
	return nil
}

func (o sourceOptions) checkSrc(t pipeline.Target) error {
	if o.src == "" {
		return nil
	}
	if st, err := os.Stat(o.src); err != nil {
		return usagef("--src: %w", err)
	} else if !st.IsDir() {
		return usagef("--src %s: want a folder that holds a source tree", o.src)
	}
	if t.Source != "tree" {
		return nil
	}
	if _, err := freebsd.ReadTree(o.src); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

func (o sourceOptions) checkKernconf() error {
	if o.kernconf == "" {
		return nil
	}
	if st, err := os.Stat(o.kernconf); err != nil {
		return usagef("--kernconf: %w", err)
	} else if !st.Mode().IsRegular() {
		return usagef("--kernconf %s: want a file with a kernel configuration", o.kernconf)
	}
	return nil
}

// recipe is the target's, with the configuration that was asked for.
func (b *workbench) recipe(target string, o sourceOptions) (runners.Recipe, error) {
	r := orchestrator.Recipe(b.file.Targets[target])
	if o.kernconf == "" {
		return r, nil
	}
	path, err := filepath.Abs(o.kernconf)
	r.Config = path
	return r, err
}

// tree is what a target is built from: the folder given, or the export of a
// commit. A packaged kernel needs neither, and gets none unless asked.
func (b *workbench) tree(ctx context.Context, target string, r runners.Recipe, o sourceOptions) (t runners.Tree, commit string, err error) {
	t.Clean = o.clean
	if o.src != "" {
		t.Dir, err = filepath.Abs(o.src)
		return t, "", err
	}
	t.Dir = filepath.Join(b.scratch.dir, "tree")
	if err := os.MkdirAll(t.Dir, 0o755); err != nil || o.commit == "" && r.Source == "package" {
		return t, "", err
	}
	upstream, err := b.upstreamOf(target, o.upstream)
	if err != nil {
		return t, "", err
	}
	src, err := b.mirrors.source(ctx, upstream)
	if err != nil {
		return t, "", err
	}
	if _, err := src.Fetch(ctx, ""); err != nil {
		return t, "", fmt.Errorf("fetch upstream %s: %w", upstream, err)
	}
	rev := o.commit
	if rev == "" {
		rev = b.file.Upstreams[upstream].Branch
	}
	if commit, err = src.Resolve(ctx, rev); err != nil {
		return t, "", usagef("%w", err)
	}
	paths, _, err := b.builder.Inputs(ctx, r)
	if err != nil {
		return t, commit, err
	}
	t.Commit, t.Branch = commit, b.file.Upstreams[upstream].Branch
	return t, commit, orchestrator.ExportPresent(ctx, src, commit, paths, t.Dir)
}

// upstreamOf is the upstream that a target is built from, by name or by the
// matrix.
func (b *workbench) upstreamOf(target, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	found := map[string]bool{}
	for _, c := range b.file.Cells() {
		if c.Target == target {
			found[c.Upstream] = true
		}
	}
	if len(found) != 1 {
		return "", usagef("%s: target %s is built from %d upstreams of the matrix; give --upstream, or --src", b.file.Path, target, len(found))
	}
	for name = range found {
	}
	return name, nil
}
