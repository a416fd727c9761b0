package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/demo"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// demoUpstream is the demo's upstream in the built-in pipeline.
const demoUpstream = "demo"

// demoBatch is how many commits the demo publishes at a time: its upstream is
// followed while it grows.
const demoBatch = 10

type demoOptions struct {
	once   bool
	fresh  bool
	seed   uint64
	listen string
}

func demoCommand(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see it work: a small upstream, a Linux guest, one culprit",
		Long: `Makes a small upstream repository of 40 commits, one of which makes the guest's
kernel behave worse, and follows it as it would FreeBSD's: builds images, boots
them in QEMU, runs the smoke suite, finds the regression and names the culprit,
after five cold boots each of it and its parent. Without KVM that takes some
minutes. Then it keeps following the upstream, with the dashboard, until Ctrl-C;
with --once it ends.

Its state is kept in the folder demo of the state directory, or in --state DIR. A
demo that was interrupted goes on where it was; one that is complete shows its
results again; --fresh starts another. The history is drawn from a seed.

Exit 0 when the culprit was found and nobody else was accused, 1 when not, 125
when the rig failed.`,
		Example: `  headwatch demo                 # then open the dashboard that it names
  headwatch demo --once --json   # for scripts
  headwatch demo --fresh --seed 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.once, "once", false, "exit when done instead of serving the dashboard on")
	f.BoolVar(&o.fresh, "fresh", false, "throw away what an earlier demo left")
	f.Uint64Var(&o.seed, "seed", 0, "draw the history from `N` (default: at random)")
	f.StringVar(&o.listen, "listen", "", "`address` of the dashboard (default: "+defaultListen+", or any free port)")
	return cmd
}

func (a *app) demo(ctx context.Context, o demoOptions) error {
	began := time.Now()
	if o.listen != "" {
		if err := checkListen(o.listen); err != nil {
			return err
		}
	}
	file, err := a.demoPipeline()
	if err != nil {
		return err
	}
	dir, err := a.demoState()
	if err != nil {
		return err
	}
	if err := preflight(ctx, checkGuests(file, []string{demoUpstream})); err != nil {
		return rig(err)
	}
	if o.fresh {
		if err := freshDemo(dir); err != nil {
			return rig(err)
		}
	}
	show := newProgress(a.stderr, false)
	defer show.close()
	var first firstRun
	r, err := a.openRig(ctx, dir, "demo", file, a.logger(slog.LevelWarn), show.event, first.event)
	if err != nil {
		return err
	}
	defer r.close()
	up, err := a.openDemo(ctx, r, o)
	if err != nil {
		return rig(err)
	}
	board, err := startDashboard(ctx, r, o.listen)
	if err != nil {
		return rig(err)
	}
	defer board.stop()
	show.openJobs = func() int { n, _ := r.db.Counts(ctx, ""); return n.OpenJobs }
	show.say("demo: %d commits from seed %d in %s; dashboard %s", up.Len(), up.Seed, dir, board.url)
	show.say("demo: one of them is bad; it is found by a few boots, and confirmed by five each of it and its parent")
	var doc demoDocument
	err = r.withWorker(ctx, func(ctx context.Context) error {
		if err := followDemo(ctx, r, up, show); err != nil {
			return err
		}
		if doc, err = r.demoResult(ctx, up); err != nil {
			return err
		}
		doc.Dashboard, doc.DurationS = board.url, time.Since(began).Seconds()
		doc.FirstVerdictS = first.since(began)
		doc.usage()
		show.close()
		if err := a.printDemo(ctx, r, doc); err != nil || o.once {
			return err
		}
		return a.keepFollowing(ctx, r, board.url)
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		if doc.Commits > 0 {
			return demoVerdict(doc)
		}
		err = errors.New("stopped; the same command goes on from here")
	}
	if err != nil {
		return rig(errors.Join(err, a.tellBrokenDemo(ctx, r, up, board.url, err)))
	}
	return demoVerdict(doc)
}

// demoPipeline is the built-in pipeline unless one is given: the demo does not
// depend on the folder it is started in.
func (a *app) demoPipeline() (*pipeline.File, error) {
	if a.pipelines == "" {
		f, err := builtinPipeline()
		if err != nil {
			return nil, err
		}
		// What is seeded into its history the suite smoke sees; others would only take time.
		smoke := f.Layers[suites.Smoke]
		smoke.Suites = []string{"smoke"}
		f.Layers[suites.Smoke] = smoke
		return f, nil
	}
	f, err := a.loadPipeline()
	if err == nil {
		if _, ok := f.Upstreams[demoUpstream]; !ok {
			return nil, usagef("%s: the demo needs an upstream named %q", f.Path, demoUpstream)
		}
	}
	return f, err
}

// demoState keeps the demo apart from what the user follows in earnest.
func (a *app) demoState() (string, error) {
	dir, err := a.stateDir()
	if err != nil || a.state != "" {
		return dir, err
	}
	return filepath.Join(dir, "demo"), nil
}

func (a *app) openDemo(ctx context.Context, r *rigging, o demoOptions) (*demo.Upstream, error) {
	dir := r.file.Upstreams[demoUpstream].Remote(r.dir)
	up, err := demo.Open(ctx, dir, 0)
	if err == nil && (o.seed == 0 || o.seed == up.Seed) {
		return up, nil
	}
	seed := o.seed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	return demo.Open(ctx, dir, seed)
}

// followDemo publishes the upstream batch by batch, each when the one before is
// settled, while the conductor follows it.
func followDemo(ctx context.Context, r *rigging, up *demo.Upstream, show *progress) error {
	ctx, stop := context.WithCancel(ctx)
	followed := make(chan error, 1)
	pollers, err := r.pollers(ctx, []string{demoUpstream})
	if err != nil {
		stop()
		return err
	}
	go func() { followed <- r.conductor.Follow(ctx, pollers) }()
	err = publishAll(ctx, r, up, show)
	stop()
	return errors.Join(err, <-followed)
}

func publishAll(ctx context.Context, r *rigging, up *demo.Upstream, show *progress) error {
	n, err := up.Published(ctx)
	if err != nil {
		return err
	}
	for first := true; first || n < up.Len(); first = false {
		if !first || n == 0 {
			n = min(n+demoBatch, up.Len())
			if err := up.Publish(ctx, n); err != nil {
				return err
			}
			show.say("demo: the upstream has %d commits now", n)
		}
		if err := r.conductor.Reach(ctx, demoUpstream, up.Hash(n-1)); err != nil {
			return err
		}
	}
	return nil
}

// keepFollowing serves on and follows what people commit to the demo's upstream.
func (a *app) keepFollowing(ctx context.Context, r *rigging, url string) error {
	pollers, err := r.pollers(ctx, []string{demoUpstream})
	if err != nil {
		return err
	}
	if !a.json {
		fmt.Fprintf(a.stderr, "following on; open %s, end with Ctrl-C\n", url)
	}
	return r.conductor.Follow(ctx, pollers)
}

// freshDemo removes an earlier demo, if nobody is using it and it is one.
func freshDemo(dir string) error {
	l, err := own(dir, "demo")
	if err != nil {
		return err
	}
	defer l.release()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 1 {
		if err := isDemoState(dir); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if e.Name() == "lock" || e.Name() == "images" { // equal inputs make equal images again
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// isDemoState makes sure that a state directory is a demo's and nothing else: it
// has the demo's upstream and follows no other.
func isDemoState(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, demoUpstream, "demo-seed")); err != nil {
		return fmt.Errorf("%s has no demo in it: not removed", dir)
	}
	mirrors, err := os.ReadDir(filepath.Join(dir, "mirrors"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, m := range mirrors {
		if m.Name() != demoUpstream {
			return fmt.Errorf("%s follows %s too, so it is not only a demo's: not removed", dir, m.Name())
		}
	}
	return nil
}
