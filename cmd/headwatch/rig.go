package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/queue"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/orchestrator/watch"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/build/linux"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
)

// rigging is a state directory in our hands, with everything that works on it.
type rigging struct {
	dir       string
	file      *pipeline.File
	suites    []suites.Suite
	lock      *stateLock
	db        *store.DB
	queue     *queue.Queue
	images    *images.Store
	builder   *build.Builder
	runner    *qemu.Runner
	consoles  *consoles
	mirrors   *mirrors
	conductor *orchestrator.Conductor
	worker    *orchestrator.Worker
	log       *slog.Logger
	flags     string // that a command needs to find this state directory

	watchers []func(orchestrator.Event)
}

// unstoredLimit is after how many outcomes in a row that cannot be stored a command
// with an end gives up; the worker waits some seconds after each.
const unstoredLimit = 5

// Places in a state directory; docs/architecture.md lists them all.
func dbPath(dir string) string     { return filepath.Join(dir, "headwatch.db") }
func imagesPath(dir string) string { return filepath.Join(dir, "images") }

// openRig takes ownership of a state directory and puts everything in it to
// work. A watcher sees each event; it must not block.
func (a *app) openRig(ctx context.Context, dir, command string, file *pipeline.File, log *slog.Logger, watchers ...func(orchestrator.Event)) (r *rigging, err error) {
	r = &rigging{dir: dir, file: file, log: log, consoles: newConsoles(), flags: a.flags(dir), watchers: watchers}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
			r = nil
		}
	}()
	if r.suites, err = suitesOf(file); err != nil {
		return r, err
	}
	if r.lock, err = own(dir, command); err != nil {
		return r, rig(err)
	}
	if r.db, err = store.Open(ctx, dbPath(dir)); err != nil {
		return r, rig(err)
	}
	if r.queue, err = queue.Open(ctx, queue.Config{Dir: filepath.Join(dir, "queue"), Log: log}); err != nil {
		return r, rig(err)
	}
	if r.images, r.builder, err = openBuilder(dir, images.Open); err != nil {
		return r, rig(err)
	}
	giveBackNICs(ctx, dir, log)
	r.runner = qemu.New(qemu.Config{Log: log, Passthrough: nicsPath(dir)})
	r.mirrors = &mirrors{dir: dir, file: file, log: log, open: map[string]*watch.Mirror{}}
	if err := r.assemble(ctx); err != nil {
		return r, rig(err)
	}
	if command != "serve" {
		r.worker.GiveUp = unstoredLimit
	}
	return r, nil
}

// openBuilder opens the images of a state directory, as owner or beside one.
func openBuilder(dir string, open func(string) (*images.Store, error)) (*images.Store, *build.Builder, error) {
	images, err := open(imagesPath(dir))
	if err != nil {
		return nil, nil, err
	}
	return images, build.New(build.Config{
		Store: images, Kernels: linux.DefaultKernels(), Cache: filepath.Join(dir, "cache"), Structs: kernel.StructNames, Agent: build.Agent,
	}), nil
}

// assemble connects the stages and takes up what a predecessor left.
func (r *rigging) assemble(ctx context.Context) error {
	host, _ := os.Hostname()
	places := orchestrator.Places{Root: r.dir}
	r.conductor = &orchestrator.Conductor{
		Pipeline: r.file, Store: r.db, Queue: r.queue, Sources: r.mirrors.source,
		Discovery: orchestrator.Discovery{Store: r.db, Builder: r.builder, Log: r.log},
		Planner:   planner(r.file, r.suites), Runner: r.runner, Places: places, Notify: r.notify, Log: r.log,
	}
	r.worker = &orchestrator.Worker{
		Store: r.db, Queue: r.queue, Pipeline: r.file, Suites: r.suites, Sources: r.mirrors.source,
		Builder: r.builder, Runner: r.runner, Console: r.consoles.open, Symbols: openSymbols, Places: places, Host: host,
		Notify: r.notify, Log: r.log,
	}
	return r.conductor.Recover(ctx)
}

func planner(file *pipeline.File, all []suites.Suite) orchestrator.Planner {
	p := orchestrator.Planner{Cells: file.Cells(), Machines: file.Machines, Layers: file.Layers, Suites: all, Every: map[string]bool{}, Known: knownFailures(file)}
	for name, u := range file.Upstreams {
		p.Every[name] = u.Commits == "every"
	}
	return p
}

// notify passes an event on to everybody who watches in this process.
func (r *rigging) notify(e orchestrator.Event) {
	for _, w := range r.watchers {
		w(e)
	}
	if e.Kind == orchestrator.EventBuild || e.Kind == orchestrator.EventRun {
		r.conductor.Wake()
	}
}

// withWorker runs f while the local worker carries out jobs, and waits for it to
// hand its work back.
func (r *rigging) withWorker(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := r.worker.Work(ctx, workers())
		if err != nil {
			cancel(fmt.Errorf("worker: %w", err))
		}
		done <- err
	}()
	err := f(ctx)
	cancel(nil)
	if werr := <-done; werr != nil {
		return werr
	}
	return err
}

// workers is how many jobs are carried out at once: one per processor. A guest
// under emulation keeps one busy while it boots.
func workers() int { return max(1, runtime.NumCPU()) }

// close gives everything back. The lock goes last.
func (r *rigging) close() error {
	var errs []error
	if r.queue != nil {
		errs = append(errs, r.queue.Close())
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	if r.images != nil {
		errs = append(errs, r.images.Close())
	}
	if r.lock != nil {
		r.lock.release()
	}
	return errors.Join(errs...)
}

// mirrors opens the local mirrors of upstreams, each once.
type mirrors struct {
	dir  string
	file *pipeline.File
	log  *slog.Logger
	mu   sync.Mutex
	open map[string]*watch.Mirror
}

func (m *mirrors) source(ctx context.Context, upstream string) (orchestrator.Source, error) {
	return m.mirror(ctx, upstream)
}

func (m *mirrors) mirror(ctx context.Context, upstream string) (*watch.Mirror, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.open[upstream]; ok {
		return s, nil
	}
	u, ok := m.file.Upstreams[upstream]
	if !ok {
		return nil, fmt.Errorf("upstream %q is not in %s", upstream, m.file.Path)
	}
	s, err := watch.Open(ctx, watch.Config{
		Upstream: u.Name, URL: u.Remote(m.dir), Branch: u.Branch, Backfill: u.Backfill,
		Dir: filepath.Join(m.dir, "mirrors", u.Name), Log: m.log,
	})
	if err != nil {
		return nil, err
	}
	m.open[upstream] = s
	return s, nil
}

// scheduled says which upstreams some schedule names, and up to which layer; 0
// means all of the matrix.
func scheduled(file *pipeline.File) map[string]suites.Layer {
	out := map[string]suites.Layer{}
	for _, s := range file.Schedules {
		for _, u := range s.Upstreams {
			upto, seen := out[u]
			if !seen || (upto != 0 && (top(s) == 0 || top(s) > upto)) {
				out[u] = top(s)
			}
		}
	}
	return out
}

// top is the highest layer of a schedule; 0 when it does not narrow the matrix.
// The layers below it run first in any case.
func top(s pipeline.Schedule) suites.Layer {
	if len(s.Layers) == 0 {
		return 0
	}
	return slices.Max(s.Layers)
}
