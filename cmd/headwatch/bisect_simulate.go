package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/bisect/simulate"
)

// simulateOptions are the flags of bisect simulate. Costs are in runs.
type simulateOptions struct {
	commits     int
	p, q        float64
	learn       bool
	history     int
	buildCost   float64
	trials      int
	seed        uint64
	confidence  float64
	machines    int
	budget      float64
	perBoot     int
	correlation float64
	steps       bool
}

func bisectSimulateCommand(a *app) *cobra.Command {
	var o simulateOptions
	cmd := &cobra.Command{
		Use: "simulate", Short: "what a search costs, and how often it is right", Args: cobra.NoArgs,
		Long: `Runs the search of "headwatch bisect" against histories whose culprit is known, and
prints what it cost, how often it was right, and the least that any search costs. A
cost of 1 is one boot and test. Both ends of the range are built before it begins.

Without --learn a search knows how often bad and good commits fail. With it, it finds
out: first by failures of the bad end, which count. A q of 0 is always known, and the
ends are what they are taken for then.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bisectSimulate(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.commits, "commits", 1000, "candidates")
	f.Float64Var(&o.p, "p", .1, "chance that a run of a bad commit fails")
	f.Float64Var(&o.q, "q", 0, "chance that a run of a good commit fails")
	f.BoolVar(&o.learn, "learn", false, "p and q are not known beforehand")
	f.IntVar(&o.history, "history", 0, "failures that were seen before, which tell p and cost nothing (with --learn)")
	f.Float64Var(&o.buildCost, "build-cost", 10, "what a build costs, in runs")
	f.IntVar(&o.trials, "trials", 2000, "how many searches")
	f.Uint64Var(&o.seed, "seed", 1, "seed")
	f.Float64Var(&o.confidence, "confidence", .99, "posterior at which a search ends")
	f.IntVar(&o.machines, "machines", 1, "machines that run at the same time")
	f.Float64Var(&o.budget, "budget", 0, "what a search may cost, in runs (0: anything)")
	f.IntVar(&o.perBoot, "per-boot", 1, "runs that are clones of one cold boot")
	f.Float64Var(&o.correlation, "correlation", 0, "share of boots that decide for all their runs")
	f.BoolVar(&o.steps, "steps", false, "print the steps of one search")
	return cmd
}

// simulateDocument is what bisect simulate prints. Costs are in runs, means over all
// trials.
type simulateDocument struct {
	Trials      int            `json:"trials"`
	Accuracy    float64        `json:"accuracy"`
	AccuracyLow float64        `json:"accuracy_low"` // lower Wilson 95 % limit
	MeanCost    float64        `json:"mean_cost"`    // until the confidence is reached
	CostError   float64        `json:"cost_error"`   // standard error of that
	CostHigh    float64        `json:"cost_high"`    // one in ten costs more
	MeanRuns    float64        `json:"mean_runs"`
	MeanBuilds  float64        `json:"mean_builds"`
	Bound       float64        `json:"bound"`
	Ratio       float64        `json:"ratio"`       // mean cost over the bound
	VerifyCost  float64        `json:"verify_cost"` // of the confirmation, beyond the cost
	Verified    int            `json:"verified"`
	Accused     int            `json:"accused_wrongly"` // of the verified
	Confidence  float64        `json:"confidence"`      // as stated at the end
	Forecast    float64        `json:"forecast"`        // of the cost, before anything ran
	BeyondHigh  float64        `json:"beyond_forecast"` // share that cost more than its upper limit
	Endings     map[string]int `json:"endings"`
	Calibration []decile       `json:"calibration"` // every class of candidates at every plan, by its mass
}

type decile struct {
	Stated float64 `json:"stated"`
	Right  float64 `json:"right"`
	Error  float64 `json:"error"` // standard error of the difference
	Trials int     `json:"trials"`
}

func (o simulateOptions) check() error {
	var problems []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	want(o.commits >= 1 && o.commits <= 1_000_000, "--commits %d: want 1 to 1000000 candidates", o.commits)
	want(o.p >= .001 && o.p <= 1, "--p %g: want a chance from .001 to 1", o.p)
	want(o.q >= 0 && o.q < o.p, "--q %g: want a chance below that of --p", o.q)
	want(o.history >= 0 && o.history <= 1000 && (o.history == 0 || o.learn), "--history %d: want 0 to 1000, with --learn", o.history)
	want(o.buildCost >= 0 && o.buildCost <= 1e6, "--build-cost %g: want runs, 0 to 1000000", o.buildCost)
	want(o.trials >= 1 && o.trials <= 10_000_000, "--trials %d: want 1 to 10000000", o.trials)
	want(o.confidence > .5 && o.confidence < 1, "--confidence %g: want more than .5 and less than 1", o.confidence)
	want(o.machines >= 1 && o.machines <= 1000, "--machines %d: want 1 to 1000", o.machines)
	want(o.budget >= 0, "--budget %g: want runs, or 0 for any", o.budget)
	want(o.perBoot >= 1 && o.perBoot <= 1000, "--per-boot %d: want 1 to 1000", o.perBoot)
	want(o.correlation >= 0 && o.correlation <= 1, "--correlation %g: want a share from 0 to 1", o.correlation)
	if len(problems) > 0 {
		return &exitError{exitUsage, errors.Join(problems...)}
	}
	return nil
}

// study is what the flags ask for.
func (o simulateOptions) study() simulate.Study {
	m := bisect.DefaultModel()
	m.BuildCost, m.Confidence, m.PerBoot = o.buildCost, o.confidence, o.perBoot
	if !o.learn {
		m.P, m.Q = bisect.Known(o.p), bisect.Known(o.q)
	}
	if o.q == 0 {
		m.Q = bisect.Known(0)
		m.Before, m.None = 0, 0
	}
	return simulate.Study{
		Commits: o.commits, P: simulate.Fixed(o.p), Q: simulate.Fixed(o.q), Correlation: o.correlation, History: o.history, Trials: o.trials, Seed: o.seed,
		Options: simulate.Options{Model: m, Confirm: true, Plan: bisect.Options{Machines: o.machines, Budget: o.budget}},
	}
}

func (a *app) bisectSimulate(ctx context.Context, o simulateOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	study := o.study()
	if o.steps {
		return a.showSearch(ctx, study)
	}
	out, err := study.Run(ctx)
	if _, refused := errors.AsType[*bisect.BudgetError](err); refused {
		return usagef("--budget: %w", err)
	} else if err != nil {
		return rig(err)
	}
	doc := simulated(out, bisect.Bound(o.commits, 1-o.confidence, o.p, o.q, o.buildCost))
	if a.json {
		return rig(a.document(doc))
	}
	doc.print(a.stdout)
	return nil
}

// showSearch prints the steps of the first trial.
func (a *app) showSearch(ctx context.Context, study simulate.Study) error {
	t, culprit, err := study.Show(ctx)
	if _, refused := errors.AsType[*bisect.BudgetError](err); refused {
		return usagef("--budget: %w", err)
	} else if err != nil {
		return rig(err)
	}
	if a.json {
		return rig(a.document(map[string]any{"culprit": culprit, "steps": t.Steps}))
	}
	for _, s := range t.Steps {
		fmt.Fprintln(a.stdout, s)
	}
	fmt.Fprintf(a.stdout, "culprit %d\n", culprit)
	return nil
}

func simulated(o simulate.Outcome, bound float64) simulateDocument {
	doc := simulateDocument{
		Trials: o.Trials, Accuracy: float64(o.Right) / float64(max(1, o.Trials)), AccuracyLow: o.Low,
		MeanCost: o.Cost, CostError: o.CostError, CostHigh: o.CostHigh, MeanRuns: o.Runs, MeanBuilds: o.Builds,
		Bound: bound, VerifyCost: o.Verify, Verified: o.Verified, Accused: o.Accused, Confidence: o.Confidence,
		Forecast: o.Expected, BeyondHigh: o.BeyondHigh, Endings: map[string]int{}, Calibration: []decile{},
	}
	if bound > 0 {
		doc.Ratio = o.Cost / bound
	}
	for e, n := range o.Endings {
		doc.Endings[e.String()] = n
	}
	for _, d := range o.Calibration {
		doc.Calibration = append(doc.Calibration, decile(d))
	}
	return doc
}

func (d simulateDocument) print(w io.Writer) {
	fmt.Fprintf(w, "right        %.4f of %d, at least %.4f (95 %%); stated %.4f\n", d.Accuracy, d.Trials, d.AccuracyLow, d.Confidence)
	fmt.Fprintf(w, "cost         %.1f ± %.1f runs, %.3f × the bound of %.1f; one in ten more than %.0f\n", d.MeanCost, d.CostError, d.Ratio, d.Bound, d.CostHigh)
	fmt.Fprintf(w, "of that      %.1f runs and %.1f builds\n", d.MeanRuns, d.MeanBuilds)
	fmt.Fprintf(w, "forecast     %.1f; %.1f %% cost more than its upper limit\n", d.Forecast, 100*d.BeyondHigh)
	fmt.Fprintf(w, "confirmation %.1f runs more; %d confirmed, %d of them wrong\n", d.VerifyCost, d.Verified, d.Accused)
	for _, e := range d.Calibration {
		if e.Trials > 0 {
			fmt.Fprintf(w, "stated %5.1f %%  was right %5.1f ± %.1f %%, %d trials\n", 100*e.Stated, 100*e.Right, 100*e.Error, e.Trials)
		}
	}
}
