package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/bisect/simulate"
)

// What is promised of bisection; docs/bisect.md says where it is from.
const (
	bisectCommits       = 1000
	bisectBuild         = 10 // runs
	bisectSure          = .99
	bisectAccuracyLeast = .98 // lower Wilson 95 % limit
	bisectCalibration   = .01
	bisectPlanLimit     = 100 * time.Millisecond
	bisectLong          = 20_000 // commits, of the line that is planned
	bisectHistory       = 3
	calibrationCommits  = 100
)

// bisectPromise is one row of the table: the search knows p and q, or learns them.
type bisectPromise struct {
	p, q  float64
	knows knowledge
	ratio float64 // limit
}

// knowledge is what a search knows of p and q before it begins. The zero value is
// invalid.
type knowledge int

const (
	_       knowledge = iota
	known             // both
	learned           // neither, and it begins with three failures of the bad end
	history           // neither, but three failures were seen in earlier runs
)

var knowledges = map[knowledge]string{known: "known", learned: "learned", history: "from history"}

var bisectPromises = []bisectPromise{
	{1, 0, known, 1.20}, {.5, 0, known, 1.20}, {.2, 0, known, 1.20}, {.1, 0, known, 1.20}, {.05, 0, known, 1.20},
	{1, 0, learned, 1.15}, {.5, 0, learned, 1.30}, {.2, 0, learned, 1.40}, {.1, 0, learned, 1.45}, {.05, 0, learned, 1.45},
	{1, 0, history, 1.15}, {.5, 0, history, 1.30}, {.2, 0, history, 1.40}, {.1, 0, history, 1.45}, {.05, 0, history, 1.45},
	{.5, .01, learned, 1.40}, {.2, .01, learned, 1.80},
}

// bisectBench is what `bench bisect` measured. Costs are in runs.
type bisectBench struct {
	Commits          int         `json:"commits"`
	BuildCost        float64     `json:"build_cost"`
	Trials           int         `json:"trials"`
	Seed             uint64      `json:"seed"`
	Rows             []bisectRow `json:"rows"`
	AccuracyLowLeast float64     `json:"accuracy_low_least"`
	Calibration      []decile    `json:"calibration"` // p and q drawn anew for each search
	CalibrationLimit float64     `json:"calibration_limit"`
	PlanCommits      int         `json:"plan_commits"`
	PlanS            float64     `json:"plan_s"` // median
	PlanLimitS       float64     `json:"plan_limit_s"`
	Missed           []string    `json:"missed"`
}

type bisectRow struct {
	P           float64 `json:"p"`
	Q           float64 `json:"q"`
	Knowledge   string  `json:"knowledge"` // of p and q: known, learned, from history
	Bound       float64 `json:"bound"`
	Ratio       float64 `json:"ratio"`
	RatioError  float64 `json:"ratio_error"`
	RatioLimit  float64 `json:"ratio_limit"`
	Accuracy    float64 `json:"accuracy"`
	AccuracyLow float64 `json:"accuracy_low"`
	Stated      float64 `json:"stated"`
	Runs        float64 `json:"runs"`
	Builds      float64 `json:"builds"`
	Verify      float64 `json:"verify_cost"`
	Accused     int     `json:"accused_wrongly"` // of the confirmed
	GitRepeats  int     `json:"git_repeats"`     // the least that suffice git bisect; 0: none do
	GitRatio    float64 `json:"git_ratio"`
}

type benchBisectOptions struct {
	seed   uint64
	trials int
}

func benchBisectCommand(a *app) *cobra.Command {
	var o benchBisectOptions
	cmd := &cobra.Command{
		Use: "bisect", Short: "cost and accuracy of bisection", Args: cobra.NoArgs,
		Long: `Simulates searches among 1000 commits, where a build costs as much as ten runs, and
prints what they cost over the least that any search costs, beside git bisect with
as many repeats as suffice it, and what is promised. Exit code 1 when a promise is
not kept.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchBisect(cmd.Context(), o) },
	}
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the simulations")
	cmd.Flags().IntVar(&o.trials, "trials", 2000, "searches for each row of the table")
	return cmd
}

func (a *app) benchBisect(ctx context.Context, o benchBisectOptions) error {
	if o.trials < 10 || o.trials > 1_000_000 {
		return usagef("--trials %d: want 10 to 1000000", o.trials)
	}
	b := bisectBench{
		Commits: bisectCommits, BuildCost: bisectBuild, Trials: o.trials, Seed: o.seed, AccuracyLowLeast: bisectAccuracyLeast,
		CalibrationLimit: bisectCalibration, PlanCommits: bisectLong, PlanLimitS: bisectPlanLimit.Seconds(), Missed: []string{},
	}
	for _, p := range bisectPromises {
		row, err := b.row(ctx, p)
		if err != nil {
			return rig(err)
		}
		fmt.Fprintf(a.stderr, "p %g, q %g, %s: %.3f ± %.3f × the bound, right %.4f, %.0f to confirm\n", p.p, p.q, row.Knowledge, row.Ratio, row.RatioError, row.Accuracy, row.Verify)
		b.Rows = append(b.Rows, row)
	}
	fmt.Fprintf(a.stderr, "calibration: %d searches\n", 2*o.trials)
	if err := b.calibrate(ctx); err != nil {
		return rig(err)
	}
	if err := b.plan(ctx); err != nil {
		return rig(err)
	}
	b.compare()
	if a.json {
		if err := a.document(b); err != nil {
			return rig(err)
		}
	} else {
		b.print(a.stdout)
	}
	if len(b.Missed) > 0 {
		return errBad
	}
	return nil
}

func (b *bisectBench) row(ctx context.Context, p bisectPromise) (bisectRow, error) {
	o := simulateOptions{
		commits: bisectCommits, p: p.p, q: p.q, learn: p.knows != known, buildCost: bisectBuild, trials: b.Trials, seed: b.Seed,
		confidence: bisectSure, machines: 1, perBoot: 1,
	}
	if p.knows == history {
		o.history = bisectHistory
	}
	out, err := o.study().Run(ctx)
	if err != nil {
		return bisectRow{}, err
	}
	d := simulated(out, bisect.Bound(o.commits, 1-o.confidence, p.p, p.q, o.buildCost))
	r := bisectRow{
		P: p.p, Q: p.q, Knowledge: knowledges[p.knows], Bound: d.Bound, Ratio: d.Ratio, RatioError: d.CostError / d.Bound, RatioLimit: p.ratio,
		Accuracy: d.Accuracy, AccuracyLow: d.AccuracyLow, Stated: d.Confidence, Runs: d.MeanRuns, Builds: d.MeanBuilds, Verify: d.VerifyCost,
		Accused: d.Accused, GitRepeats: simulate.Enough(o.commits, p.p, p.q, o.buildCost, bisectSure),
	}
	if r.GitRepeats > 0 {
		cost, _ := simulate.Plain(o.commits, r.GitRepeats, p.p, p.q, o.buildCost)
		r.GitRatio = cost / d.Bound
	}
	return r, nil
}

// calibrate draws p and q for each search as the model expects them: what is stated
// of a bug that always fails with one chance cannot be right at every chance.
func (b *bisectBench) calibrate(ctx context.Context) error {
	m := bisect.DefaultModel()
	m.Before, m.None = 0, 0
	out, err := simulate.Study{
		Commits: calibrationCommits, P: simulate.Drawn(m.P), Q: simulate.Drawn(m.Q), Trials: 2 * b.Trials, Seed: b.Seed,
		Options: simulate.Options{Model: m},
	}.Run(ctx)
	for _, d := range out.Calibration {
		b.Calibration = append(b.Calibration, decile(d))
	}
	return err
}

// plan times the choice of what to ask next along a search of a long line.
func (b *bisectBench) plan(ctx context.Context) error {
	var took []time.Duration
	study := simulate.Study{
		Commits: bisectLong, P: simulate.Fixed(.1), Q: simulate.Fixed(.01), Trials: 1, Seed: b.Seed, Workers: 1,
		Options: simulate.Options{Model: bisect.DefaultModel(), Timing: func(d time.Duration) { took = append(took, d) }},
	}
	if _, err := study.Run(ctx); err != nil {
		return err
	}
	slices.Sort(took)
	b.PlanS = took[len(took)/2].Seconds()
	return nil
}

// compare lists the promises that were not kept.
func (b *bisectBench) compare() {
	for _, r := range b.Rows {
		name := fmt.Sprintf("p %g, q %g, %s", r.P, r.Q, r.Knowledge)
		if r.Ratio > r.RatioLimit {
			b.Missed = append(b.Missed, fmt.Sprintf("%s: %.3f × the bound, more than %.2f", name, r.Ratio, r.RatioLimit))
		}
		if r.AccuracyLow < b.AccuracyLowLeast {
			b.Missed = append(b.Missed, fmt.Sprintf("%s: right %.4f, less than %.2f is possible", name, r.Accuracy, b.AccuracyLowLeast))
		}
	}
	for _, d := range b.Calibration {
		if off := max(d.Right-d.Stated, d.Stated-d.Right); off > b.CalibrationLimit+2*d.Error {
			b.Missed = append(b.Missed, fmt.Sprintf("stated %.3f, was right %.3f ± %.3f", d.Stated, d.Right, d.Error))
		}
	}
	if b.PlanS > b.PlanLimitS {
		b.Missed = append(b.Missed, fmt.Sprintf("a plan among %d commits takes %.3f s, more than %.1f", b.PlanCommits, b.PlanS, b.PlanLimitS))
	}
}

func (b *bisectBench) print(w io.Writer) {
	fmt.Fprintf(w, "%d commits, a build costs %.0f runs, %d searches each\n", b.Commits, b.BuildCost, b.Trials)
	fmt.Fprintf(w, "%4s %4s %-12s %7s %20s %12s %16s %7s %7s %12s\n", "p", "q", "p and q", "bound", "cost over bound", "git bisect", "right (95 %)", "runs", "builds", "confirmation")
	for _, r := range b.Rows {
		git := "never"
		if r.GitRepeats > 0 {
			git = fmt.Sprintf("%.2f (%d×)", r.GitRatio, r.GitRepeats)
		}
		fmt.Fprintf(w, "%4g %4g %-12s %7.1f %7.3f ± %.3f (≤ %.2f) %10s  %.4f (≥ %.4f) %7.1f %7.1f %7.1f\n",
			r.P, r.Q, r.Knowledge, r.Bound, r.Ratio, r.RatioError, r.RatioLimit, git, r.Accuracy, r.AccuracyLow, r.Runs, r.Builds, r.Verify)
	}
	fmt.Fprintf(w, "calibration, p and q drawn for each search (within %.0f point and twice the error):\n", 100*b.CalibrationLimit)
	for _, d := range b.Calibration {
		fmt.Fprintf(w, "  stated %5.1f %%  was right %5.1f ± %.1f %%  %d searches\n", 100*d.Stated, 100*d.Right, 100*d.Error, d.Trials)
	}
	fmt.Fprintf(w, "a plan among %d commits: %.1f ms (≤ %.0f)\n", b.PlanCommits, 1000*b.PlanS, 1000*b.PlanLimitS)
	for _, m := range b.Missed {
		fmt.Fprintf(w, "missed: %s\n", m)
	}
}
