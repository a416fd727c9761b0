package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
)

// bisectOptions are the flags of bisect.
type bisectOptions struct {
	target, upstream, machine string
	name                      string // of the case
	crash                     string // signature
	fix                       bool
	confidence                float64
	budget                    time.Duration
	machines                  int
}

func bisectCommand(a *app) *cobra.Command {
	var o bisectOptions
	cmd := &cobra.Command{
		Use:   "bisect GOOD..BAD --target T --case C",
		Short: "find the commit that made a case bad, or mended it",
		Long: `Builds and runs commits of an upstream until one of them is known to have made the
case bad, also when it fails only now and then. GOOD and BAD are revisions of git on
the first-parent line (tags are not mirrored); without BAD it is the newest commit. What was built and run
before counts. The case is of the form suite/case, or "build", or "boot".

With --crash only a crash with that signature is a failure. With --find-fix GOOD is
the older commit, which fails, and BAD a newer one that passes.

Ctrl-C stops it, and the same command goes on from there. It prints the culprit, how
sure that is, and the log in the form of "git bisect log".

Exit 0 when the culprit was found and confirmed, 125 when only a range or nothing
was found, 128 for wrong usage.`,
		Example: `  headwatch bisect HEAD~40..main --target linux --case smoke/loopback_tcp
  headwatch bisect HEAD~200.. --target freebsd --case boot --budget 8h
  headwatch bisect 1a2b3c4..5d6e7f8 --target freebsd --case tcp/f01_v4 --find-fix --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && cmd.Flags().NFlag() == 0 {
				cmd.SetOut(a.stdout)
				return cmd.Help()
			}
			return a.bisect(cmd.Context(), strings.Join(args, ""), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "", "`target` to build")
	f.StringVar(&o.upstream, "upstream", "", "`upstream` whose commits they are (default: the one that the matrix builds the target from)")
	f.StringVar(&o.machine, "machine", "", "`machine` to run on (default: the first of the matrix that can)")
	f.StringVar(&o.name, "case", "", "`case` that turned bad: suite/case, build or boot")
	f.StringVar(&o.crash, "crash", "", "`signature` of the crash that is searched; no other failure counts")
	f.BoolVar(&o.fix, "find-fix", false, "search for the commit that mended the case")
	f.Float64Var(&o.confidence, "confidence", .99, "`chance` to be right at which the search ends")
	f.DurationVar(&o.budget, "budget", 0, "`time` that builds and runs may take together, such as 8h (default: no limit)")
	f.IntVar(&o.machines, "machines", 0, "`number` of runs at once (default: one per processor)")
	cmd.AddCommand(bisectSimulateCommand(a))
	return cmd
}

// check says what is wrong with the options, before anything is opened.
func (o *bisectOptions) check(file *pipeline.File, revs string) (good, bad string, err error) {
	good, bad, ranged := strings.Cut(revs, "..")
	switch {
	case !ranged || good == "" || strings.HasPrefix(bad, ".") || strings.Contains(bad, ".."):
		return "", "", usagef("%q: want GOOD..BAD, two revisions with two dots between", revs)
	case o.target == "":
		return "", "", usagef("no --target; %s has %s", file.Path, names(file.Targets))
	case o.name == "":
		return "", "", usagef(`no --case; "headwatch suites" lists them`)
	case !(o.confidence > .5 && o.confidence < 1):
		return "", "", usagef("--confidence %v: want more than .5 and less than 1", o.confidence)
	case o.budget < 0:
		return "", "", usagef("--budget %v: want a time such as 8h", o.budget)
	case o.machines < 0 || o.machines > 1000:
		return "", "", usagef("--machines %d: want 1 to 1000", o.machines)
	case o.crash != "" && o.name == orchestrator.CaseBuild:
		return "", "", usagef("--crash: a build boots nothing")
	}
	if _, ok := file.Targets[o.target]; !ok {
		return "", "", usagef("%s: no target %q; it has %s", file.Path, o.target, names(file.Targets))
	}
	if _, ok := file.Upstreams[o.upstream]; o.upstream != "" && !ok {
		return "", "", usagef("%s: no upstream %q; it has %s", file.Path, o.upstream, names(file.Upstreams))
	}
	if o.machines == 0 {
		o.machines = workers()
	}
	if o.upstream == "" {
		b := workbench{file: file}
		o.upstream, err = b.upstreamOf(o.target, "")
	}
	if bad == "" {
		bad = file.Upstreams[o.upstream].Branch
	}
	return good, bad, err
}

// place checks the case against the target, and chooses the machine.
func (o *bisectOptions) place(file *pipeline.File) error {
	all, err := suitesOf(file)
	if err != nil {
		return err
	}
	p := planner(file, all)
	if !p.HasCase(o.name) {
		return usagef(`--case %s: no such case; "headwatch suites" lists them`, o.name)
	}
	o.machine, err = p.Place(o.upstream, o.target, file.Targets[o.target].OS, o.machine, o.name)
	if err != nil {
		return usagef("%s: %w", file.Path, err)
	}
	return nil
}

func (a *app) bisect(ctx context.Context, revs string, o bisectOptions) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	good, bad, err := o.check(file, revs)
	if err == nil {
		err = o.place(file)
	}
	if err != nil {
		return err
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if err := preflight(ctx, checkGuests(file, []string{o.upstream})); err != nil {
		return rig(err)
	}
	r, err := a.openRig(ctx, dir, "bisect", file, a.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer r.close()
	b, err := r.bisection(ctx, o, good, bad)
	if err != nil {
		return rig(err)
	}
	show := newPicture(a.stderr, isTerminal(a.stderr), a.json)
	last, err := r.bisect(ctx, b, o, show.draw)
	show.close()
	if ctx.Err() != nil {
		return rig(errors.New("stopped; the same command goes on from here"))
	}
	if err != nil {
		return rig(err)
	}
	return a.tellBisection(ctx, r, o, last)
}

// bisection finds the ends, and stores what is searched.
func (r *rigging) bisection(ctx context.Context, o bisectOptions, good, bad string) (b orchestrator.Bisection, err error) {
	if _, err := r.conductor.Discover(ctx, o.upstream); err != nil {
		return b, err
	}
	src, err := r.mirrors.source(ctx, o.upstream)
	if err != nil {
		return b, err
	}
	b = orchestrator.Bisection{
		Upstream: o.upstream, Target: o.target, Machine: o.machine, Case: o.name, Fix: o.fix, Crash: o.crash,
		Asker: orchestrator.AskedByHand, Confidence: o.confidence,
	}
	for _, end := range []struct {
		rev  string
		hash *string
	}{{good, &b.Good}, {bad, &b.Bad}} {
		if *end.hash, err = src.Resolve(ctx, end.rev); err != nil {
			return b, usagef("%w", err)
		}
	}
	if b.Good == b.Bad {
		return b, usagef("%s and %s are one commit, %s", good, bad, b.Good)
	}
	// What the store does not have cannot be stored as an end.
	for _, end := range []string{b.Good, b.Bad} {
		if err := r.conductor.Reaching(ctx, o.upstream, end); err != nil {
			return b, r.badEnds(o.upstream, err)
		}
	}
	if _, err := r.conductor.LookAt(ctx, b, orchestrator.BisectOptions{}); err != nil {
		return b, r.badEnds(o.upstream, err)
	}
	return r.db.AddBisection(ctx, b)
}

// badEnds tells a range that is none from a rig that failed.
func (r *rigging) badEnds(upstream string, err error) error {
	switch {
	case errors.Is(err, orchestrator.ErrNotOnLine):
		return usagef("%w (branch %s): give a commit on it, such as the one that git merge-base names", err, r.file.Upstreams[upstream].Branch)
	case errors.Is(err, orchestrator.ErrNotBefore):
		return usagef("%w: GOOD is the older end; turn them round, and add --find-fix when the older one fails", err)
	case errors.Is(err, bisect.ErrSameBuild), errors.Is(err, bisect.ErrNoCommits):
		return usagef("%w", err)
	}
	return err
}

// bisect searches while the local worker runs what is asked for. A budget that cannot
// suffice is refused as soon as it is known what a run takes.
func (r *rigging) bisect(ctx context.Context, b orchestrator.Bisection, o bisectOptions, show func(orchestrator.Advance)) (last orchestrator.Advance, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limits := orchestrator.BisectOptions{Machines: o.machines, Ahead: 1, Budget: o.budget}
	checked := false
	watch := func(a orchestrator.Advance) {
		show(a)
		if checked || a.Cost.EachRun <= 0 || o.budget <= 0 {
			return
		}
		checked = true
		if err := checkBudget(a, o.budget); err != nil {
			cancel(&exitError{exitUsage, err})
		}
	}
	err = r.withWorker(ctx, func(ctx context.Context) error {
		last, err = r.conductor.Bisect(ctx, b, limits, watch)
		return err
	})
	if why, ok := errors.AsType[*exitError](context.Cause(ctx)); ok {
		err = why
	}
	return last, err
}

// checkBudget refuses a budget that cannot suffice.
func checkBudget(a orchestrator.Advance, budget time.Duration) error {
	each := a.Cost.EachRun
	left := budget - a.Cost.RunTime - a.Cost.BuildTime
	e, short := errors.AsType[*bisect.BudgetError](a.Forecast.Check(max(float64(left)/float64(each), 1e-9)))
	if !short || a.Done() {
		return nil
	}
	spent := a.Cost.RunTime + a.Cost.BuildTime
	return fmt.Errorf("--budget %v cannot suffice: no search does it in less than %v; give it %v", budget,
		inRuns(e.Least, each, spent), inRuns(e.Expected, each, spent))
}

// inRuns is the time that so many runs take, after what was spent, in whole minutes.
func inRuns(n float64, each, spent time.Duration) time.Duration {
	return (spent + time.Duration(n*float64(each)) + time.Minute - 1).Truncate(time.Minute)
}
