package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// alarmOptions are the flags of `bench alarms`.
type alarmOptions struct {
	run   runOptions
	limit time.Duration
	each  int
	jobs  int
	until int
}

func benchAlarmsCommand(a *app) *cobra.Command {
	o := alarmOptions{run: runOptions{repeat: 1}}
	cmd := &cobra.Command{
		Use: "alarms", Short: "how often cases fail on a kernel that is thought to be well", Args: cobra.NoArgs,
		Long: `Runs a suite, or one case of it, again and again for some time, several times in clones
of one boot and then of another one, with another seed each time. What comes of each is
added to alarms.jsonl in the state directory, and all that was ever added there for the
target is counted and printed: when n executions passed and none failed, a case fails less
often than 3 times in n with 95 % (Hanley and Lippman-Hand, JAMA 249, 1983). What the
rig or a busy host broke counts apart. Exit 1 when one has failed now.

With --until N one case is executed at a time, the one that has passed least often, and
those that have passed N times rest: what is cheap is not counted ten times as often as
needed while the others take their time.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchAlarms(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.run.target, "target", "linux", "`target` of the pipeline")
	f.StringVar(&o.run.machine, "machine", "", "`machine` of the pipeline (default: the one that can run most of the cases)")
	f.StringVar(&o.run.suite, "suite", "tcp", "`suite`, or suite/case")
	f.StringVar(&o.run.layer, "layer", "functional", "`layer` whose cases run")
	f.StringVar(&o.run.image, "image", "", "`id` of an image of the state directory")
	f.Uint64Var(&o.run.seed, "seed", 0, "first seed `N` (default: after the last one that was used)")
	f.DurationVar(&o.limit, "for", 10*time.Minute, "how `long`; what has begun is finished")
	f.IntVar(&o.each, "each", 5, "executions for each cold boot")
	f.IntVar(&o.until, "until", 0, "one case at a time, until each has passed `N` times")
	f.IntVarP(&o.jobs, "jobs", "j", 1, "boots side by side: many cases wait more than they work")
	return cmd
}

func (a *app) benchAlarms(ctx context.Context, o alarmOptions) (err error) {
	if o.each < 1 || o.limit <= 0 || o.jobs < 1 || o.until < 0 {
		return usagef("want at least one execution for each boot, one boot at a time, some time, and no fewer than 0 passes")
	}
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	j, only, err := resolve(file, o.run)
	if err != nil {
		return err
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	b, err := a.openBench(file, dir, "bench")
	if err != nil {
		return rig(err)
	}
	defer func() { err = errors.Join(err, rig(b.close())) }()
	if j.Image == "" {
		img, err := a.buildImage(ctx, b, j.Target, sourceOptions{})
		if err != nil {
			return err
		}
		j.Image = img.ID
	} else if img, err := b.images.Find(j.Image); err != nil {
		return usagef("--image: %w", err)
	} else {
		j.Image = img.ID
	}
	path := filepath.Join(dir, "alarms.jsonl")
	all, err := readExecutions(path, j.Target)
	if err != nil {
		return rig(err)
	}
	if j.Seed == 0 {
		for _, e := range all {
			j.Seed = max(j.Seed, e.Seed)
		}
		j.Seed++
	}
	k := executions{path: path, seed: j.Seed, end: time.Now().Add(o.limit), said: a.stderr, due: due{cases: []string{only}}}
	if o.until > 0 {
		k.due = casesDue(orchestrator.CasesOf(b.suites, j.Suite, j.Layer, only), j, all, o.until)
	}
	var workers errgroup.Group
	for n := range o.jobs {
		workers.Go(func() error { return k.work(ctx, b, j, o.each, n, o.jobs) })
	}
	if err := workers.Wait(); err != nil {
		return rig(err)
	}
	return a.tellAlarms(sumExecutions(append(all, k.all...)), k.all)
}

// executions is what the workers of a bench add to.
type executions struct {
	path string
	end  time.Time
	said io.Writer

	mu   sync.Mutex
	seed uint64 // the next
	due  due
	all  []execution
}

// work runs the cases until the time is over. The n-th of so many workers has boots of its
// own.
func (k *executions) work(ctx context.Context, bench *workbench, j orchestrator.Job, each, n, workers int) error {
	var held runners.Template
	b := *bench
	b.keep = func(t runners.Template) {
		if held != nil {
			held.Close()
		}
		held = t
	}
	defer func() {
		if held != nil {
			held.Close()
		}
	}()
	for i := 0; time.Now().Before(k.end); i++ {
		only, seed, ok := k.next()
		if !ok {
			return nil
		}
		j.Repeat, j.Seed = n+workers*(i/each), seed
		doc, err := b.execute(ctx, j, only)
		if err != nil {
			return err
		}
		if err := k.add(j, doc); err != nil {
			return err
		}
	}
	return nil
}

// next is what is executed now: a case, or all of them by the name "".
func (k *executions) next() (only string, seed uint64, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seed++
	only, ok = k.due.next()
	return only, k.seed - 1, ok
}

// add keeps what came of the cases, at once: a bench that is killed has told it.
func (k *executions) add(j orchestrator.Job, doc handRun) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var lines []execution
	for _, r := range doc.Results {
		if r.Case != orchestrator.CaseBoot {
			lines = append(lines, execution{time.Now().UTC(), ownVersion(), j.Target, j.Image, j.Machine, r.Case, r.Status, j.Seed, r.Reason, r.DurationS})
			k.due.count(r.Case, r.Status)
		}
		if r.Status == suites.Failed.String() {
			fmt.Fprintf(k.said, "seed %d: %s failed%s\n", j.Seed, r.Case, because(r.Reason))
		}
	}
	k.all = append(k.all, lines...)
	return appendExecutions(k.path, lines)
}

func (a *app) tellAlarms(rows []alarmRow, now []execution) error {
	if a.json {
		if err := a.document(rows); err != nil {
			return rig(err)
		}
	} else {
		for _, r := range rows {
			fmt.Fprintf(a.stdout, "%-24s %5d passed, %d failed, %d broken, %d skipped: fails less often than %.2g (95 %%); %.3g s\n",
				r.Case, r.Passed, r.Failed, r.Broken, r.Skipped, r.Limit, r.Seconds)
		}
	}
	if slices.ContainsFunc(now, func(e execution) bool { return e.Status == suites.Failed.String() }) {
		return errBad
	}
	return nil
}
