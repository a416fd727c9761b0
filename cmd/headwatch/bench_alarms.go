package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
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
rig or a busy host broke counts apart. Exit 1 when one has failed now.`,
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
	f.IntVarP(&o.jobs, "jobs", "j", 1, "boots side by side: many cases wait more than they work")
	return cmd
}

// execution is one line of alarms.jsonl.
type execution struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"` // of headwatch
	Target  string    `json:"target"`
	Image   string    `json:"image"`
	Machine string    `json:"machine"`
	Case    string    `json:"case"`
	Status  string    `json:"status"`
	Seed    uint64    `json:"seed"`
	Reason  string    `json:"reason,omitempty"`
}

// alarmRow sums the executions of a case.
type alarmRow struct {
	Case    string  `json:"case"`
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Broken  int     `json:"broken"`
	Skipped int     `json:"skipped"`
	Limit   float64 `json:"limit"` // upper 95 % limit of the rate of failures
}

func (a *app) benchAlarms(ctx context.Context, o alarmOptions) (err error) {
	if o.each < 1 || o.limit <= 0 || o.jobs < 1 {
		return usagef("want at least one execution for each boot, one boot at a time, and some time")
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
	k := executions{path: path, seed: j.Seed, end: time.Now().Add(o.limit), said: a.stderr}
	var workers errgroup.Group
	for n := range o.jobs {
		workers.Go(func() error { return k.work(ctx, b, j, only, o.each, n, o.jobs) })
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
	all  []execution
}

// work runs the cases until the time is over. The n-th of so many workers has boots of its
// own.
func (k *executions) work(ctx context.Context, bench *workbench, j orchestrator.Job, only string, each, n, workers int) error {
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
		j.Repeat, j.Seed = n+workers*(i/each), k.nextSeed()
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

func (k *executions) nextSeed() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seed++
	return k.seed - 1
}

// add keeps what came of the cases, at once: a bench that is killed has told it.
func (k *executions) add(j orchestrator.Job, doc handRun) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var lines []execution
	for _, r := range doc.Results {
		if r.Case != orchestrator.CaseBoot {
			lines = append(lines, execution{time.Now().UTC(), ownVersion(), j.Target, j.Image, j.Machine, r.Case, r.Status, j.Seed, r.Reason})
		}
		if r.Status == suites.Failed.String() {
			fmt.Fprintf(k.said, "seed %d: %s failed%s\n", j.Seed, r.Case, because(r.Reason))
		}
	}
	k.all = append(k.all, lines...)
	return appendExecutions(k.path, lines)
}

// readExecutions reads what was added before for a target. A last line that a kill cut
// off is left out.
func readExecutions(path, target string) (all []execution, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e execution
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Target == target {
			all = append(all, e)
		}
	}
	return all, lines.Err()
}

func appendExecutions(path string, all []execution) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	out := json.NewEncoder(f)
	for _, e := range all {
		if err := out.Encode(e); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// sumExecutions counts by case.
func sumExecutions(all []execution) []alarmRow {
	byCase := map[string]*alarmRow{}
	for _, e := range all {
		r := byCase[e.Case]
		if r == nil {
			r = &alarmRow{Case: e.Case}
			byCase[e.Case] = r
		}
		switch e.Status {
		case suites.Passed.String():
			r.Passed++
		case suites.Failed.String():
			r.Failed++
		case suites.Skipped.String():
			r.Skipped++
		default:
			r.Broken++
		}
	}
	var out []alarmRow
	for _, name := range slices.Sorted(maps.Keys(byCase)) {
		r := byCase[name]
		r.Limit = failureLimit(r.Failed, r.Passed+r.Failed)
		out = append(out, *r)
	}
	return out
}

// failureLimit is the rate of failures that k of n or fewer would have with 5 % only; for
// none of many it is 3/n.
func failureLimit(k, n int) float64 {
	lo, hi := 0.0, 1.0
	for range 60 {
		p := (lo + hi) / 2
		sum, term := 0.0, math.Pow(1-p, float64(n))
		for i := 0; i <= k; i++ {
			sum += term
			term *= float64(n-i) / float64(i+1) * p / (1 - p)
		}
		if sum > .05 {
			lo = p
		} else {
			hi = p
		}
	}
	return hi
}

func (a *app) tellAlarms(rows []alarmRow, now []execution) error {
	if a.json {
		if err := a.document(rows); err != nil {
			return rig(err)
		}
	} else {
		for _, r := range rows {
			fmt.Fprintf(a.stdout, "%-24s %5d passed, %d failed, %d broken, %d skipped: fails less often than %.2g (95 %%)\n", r.Case, r.Passed, r.Failed, r.Broken, r.Skipped, r.Limit)
		}
	}
	if slices.ContainsFunc(now, func(e execution) bool { return e.Status == suites.Failed.String() }) {
		return errBad
	}
	return nil
}
