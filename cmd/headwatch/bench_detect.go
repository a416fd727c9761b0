package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/spf13/cobra"
)

// What is promised of change detection; docs/detect.md says where it is from.
const (
	falseAlarmLimit = .5 // of 1000 unchanged points
	recallAt3Least  = .98
	delayLimit      = 8 // points, at 3 standard deviations
	manyLimit       = 1 // alarms of 500 unchanged metrics
	speedLimit      = 1 // seconds of CPU time
	turingF1Least   = .74
	turingCover     = .70
)

// detectBench is what `bench detect` measured, beside what is promised.
type detectBench struct {
	Seed       uint64       `json:"seed"`
	Points     int          `json:"points"` // of each simulated series
	Noise      []noiseBench `json:"noise"`
	Metrics    int          `json:"metrics"`     // unchanged ones, looked at together
	Alarms     []int        `json:"alarms"`      // that they raised, in each round
	AlarmLimit float64      `json:"alarm_limit"` // for the mean
	Heard      int          `json:"heard"`       // of as many rounds, in which one metric did change, those that told it
	NightCPUS  float64      `json:"night_cpu_s"` // of 200 series of 5000 points
	NightLimit float64      `json:"night_limit_s"`
	Turing     *turingBench `json:"turing"` // null: no checkout was given
	Missed     []string     `json:"missed"` // promises that were not kept
}

// noiseBench is one class of noise. Recall is the share of steps told within 3
// points of their place; Elsewhere counts what was told in other places, for each step.
type noiseBench struct {
	Noise           string  `json:"noise"`
	FalseAlarms     float64 `json:"false_alarms"` // of 1000 unchanged points
	FalseAlarmLimit float64 `json:"false_alarm_limit"`
	Recall          float64 `json:"recall"`       // of steps of 1.5 standard deviations
	RecallLeast     float64 `json:"recall_least"` // 0: nothing is promised
	Elsewhere       float64 `json:"elsewhere"`
	Recall3         float64 `json:"recall_3"` // of steps of 3
	Recall3Least    float64 `json:"recall_3_least"`
	Delay           float64 `json:"delay"`       // points after a step of 3 until it is told, mean;
	DelayLimit      float64 `json:"delay_limit"` // for the mean
	DelayLate       int     `json:"delay_p95"`   // exceeded by one in twenty
}

type turingBench struct {
	Series     int      `json:"series"`
	Absent     []string `json:"absent"` // series that the checkout lacks
	F1         float64  `json:"f1"`
	F1Least    float64  `json:"f1_least"`
	Cover      float64  `json:"cover"`
	CoverLeast float64  `json:"cover_least"`
	Measured   int      `json:"measured"` // series that are no made-up controls,
	MeasuredF1 float64  `json:"measured_f1"`
	MeasuredC  float64  `json:"measured_cover"`
}

type benchDetectOptions struct {
	seed      uint64
	residuals string
	turing    string
}

func benchDetectCommand(a *app) *cobra.Command {
	var o benchDetectOptions
	cmd := &cobra.Command{
		Use: "detect", Short: "false alarms, recall and delay of change detection", Args: cobra.NoArgs,
		Long: `Simulates series with and without a step in several classes of noise, and prints
what change detection says of them beside what is promised. Exit code 1 when a
promise is not kept.

--residuals adds a class: the noise of measured series, as "headwatch detect" reads
them. --turing adds the Turing change-point dataset, of which it wants a checkout
(github.com/alan-turing-institute/TCPD).`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchDetect(cmd.Context(), o) },
	}
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the simulations")
	cmd.Flags().StringVar(&o.residuals, "residuals", "", "`file` of measured series")
	cmd.Flags().StringVar(&o.turing, "turing", "", "`directory` of the Turing change-point dataset")
	return cmd
}

func (a *app) benchDetect(ctx context.Context, o benchDetectOptions) error {
	classes := []noiseClass{
		{"gaussian", gaussian, .93}, {"AR(1) .5", remembering, .65}, {"4 % outliers", outlying, .80}, {"bimodal", bimodal, 0},
	}
	if o.residuals != "" {
		series, err := readSeries([]string{o.residuals}, nil)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		measured, err := residuals(series)
		if err != nil {
			return usagef("%s: %w", o.residuals, err)
		}
		classes = append(classes, noiseClass{"measured", measured, 0})
	}
	b := detectBench{
		Seed: o.seed, Points: trialPoints, Metrics: familySize, AlarmLimit: manyLimit, NightLimit: speedLimit, Missed: []string{},
	}
	if o.turing != "" {
		t, err := benchTuring(o.turing)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		b.Turing = &t
	}
	if err := b.simulate(ctx, classes); err != nil {
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

// noiseClass is a class of noise, and the recall that is promised of it.
type noiseClass struct {
	name   string
	noise  noise
	recall float64
}

func (b *detectBench) simulate(ctx context.Context, classes []noiseClass) error {
	var all []noise
	for i, c := range classes {
		all = append(all, c.noise)
		t := trial{c.noise, rand.New(rand.NewPCG(b.Seed, uint64(i)))}
		n := noiseBench{
			Noise: c.name, FalseAlarmLimit: falseAlarmLimit, RecallLeast: c.recall, Recall3Least: recallAt3Least, DelayLimit: delayLimit,
		}
		n.FalseAlarms = t.falseAlarms()
		n.Recall, n.Elsewhere = t.recall(1.5)
		n.Recall3, _ = t.recall(3)
		d := t.delays(3)
		n.Delay, n.DelayLate = mean(d), d[len(d)*19/20]
		b.Noise = append(b.Noise, n)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	r := rand.New(rand.NewPCG(b.Seed, uint64(len(classes))))
	var err error
	b.Alarms, b.Heard, err = manyMetrics(ctx, all, r)
	b.NightCPUS = aNight(all, r).Seconds()
	return err
}

// benchTuring scores the defaults on the dataset's series, each by itself.
func benchTuring(dir string) (turingBench, error) {
	series, absent, err := readTuring(dir)
	b := turingBench{Series: len(series), Absent: absent, F1Least: turingF1Least, CoverLeast: turingCover}
	for _, s := range series {
		var at []int
		for _, c := range changesOf(s.values) {
			at = append(at, c.Index)
		}
		f1, cover := s.score(at)
		b.F1, b.Cover = b.F1+f1, b.Cover+cover
		if !s.control() {
			b.Measured, b.MeasuredF1, b.MeasuredC = b.Measured+1, b.MeasuredF1+f1, b.MeasuredC+cover
		}
	}
	n, m := float64(max(1, b.Series)), float64(max(1, b.Measured))
	b.F1, b.Cover, b.MeasuredF1, b.MeasuredC = b.F1/n, b.Cover/n, b.MeasuredF1/m, b.MeasuredC/m
	return b, err
}

// compare lists the promises that were not kept.
func (b *detectBench) compare() {
	want := func(kept bool, format string, args ...any) {
		if !kept {
			b.Missed = append(b.Missed, fmt.Sprintf(format, args...))
		}
	}
	for _, n := range b.Noise {
		want(n.FalseAlarms <= n.FalseAlarmLimit, "%s: %.2f false alarms of 1000 points, more than %.2g", n.Noise, n.FalseAlarms, n.FalseAlarmLimit)
		want(n.Recall >= n.RecallLeast, "%s: recall %.3f, less than %.2g", n.Noise, n.Recall, n.RecallLeast)
		want(n.Recall3 >= n.Recall3Least, "%s: recall %.3f at 3 standard deviations, less than %.2g", n.Noise, n.Recall3, n.Recall3Least)
		want(n.Delay <= n.DelayLimit, "%s: told after %.1f points, more than %.0f", n.Noise, n.Delay, n.DelayLimit)
	}
	want(mean(b.Alarms) <= b.AlarmLimit, "%d unchanged metrics raise %.2f alarms, more than %.0f", b.Metrics, mean(b.Alarms), b.AlarmLimit)
	want(b.NightCPUS <= b.NightLimit, "a night's look takes %.2f s, more than %.0f", b.NightCPUS, b.NightLimit)
	if t := b.Turing; t != nil {
		want(t.F1 >= t.F1Least, "Turing dataset: F1 %.3f, less than %.2f", t.F1, t.F1Least)
		want(t.Cover >= t.CoverLeast, "Turing dataset: cover %.3f, less than %.2f", t.Cover, t.CoverLeast)
	}
}

func mean(v []int) float64 {
	sum := 0
	for _, n := range v {
		sum += n
	}
	return float64(sum) / float64(max(1, len(v)))
}

func (b *detectBench) print(w io.Writer) {
	fmt.Fprintf(w, "%-14s %24s %20s %20s %11s %22s\n", "noise", "false alarms of 1000", "recall at 1.5 sd", "recall at 3 sd", "elsewhere", "delay at 3 sd")
	for _, n := range b.Noise {
		least := "-"
		if n.RecallLeast > 0 {
			least = fmt.Sprintf("%.2f", n.RecallLeast)
		}
		fmt.Fprintf(w, "%-14s %16.3f (≤ %.1f) %11.3f (≥ %4s) %11.3f (≥ %.2f) %11.3f %7.1f (≤ %.0f), p95 %2d\n", n.Noise, n.FalseAlarms, n.FalseAlarmLimit,
			n.Recall, least, n.Recall3, n.Recall3Least, n.Elsewhere, n.Delay, n.DelayLimit, n.DelayLate)
	}
	fmt.Fprintf(w, "%d unchanged metrics together: %.2f alarms on average (≤ %.0f), %d at most, %d rounds\n", b.Metrics, mean(b.Alarms), b.AlarmLimit, slices.Max(b.Alarms), len(b.Alarms))
	fmt.Fprintf(w, "with one more that stepped by 3 sd %d points ago: told in %d of %d rounds\n", familyAge, b.Heard, len(b.Alarms))
	fmt.Fprintf(w, "%d series of %d points: %.2f s of CPU time (≤ %.0f)\n", speedSeries, speedPoints, b.NightCPUS, b.NightLimit)
	if t := b.Turing; t != nil {
		fmt.Fprintf(w, "Turing dataset, %d series (%d absent): F1 %.3f (≥ %.2f), cover %.3f (≥ %.2f)\n", t.Series, len(t.Absent), t.F1, t.F1Least, t.Cover, t.CoverLeast)
		fmt.Fprintf(w, "without its controls, %d series: F1 %.3f, cover %.3f\n", t.Measured, t.MeasuredF1, t.MeasuredC)
	} else {
		fmt.Fprintln(w, "Turing dataset: not measured (--turing)")
	}
	if len(b.Noise) < 5 {
		fmt.Fprintln(w, "noise of measured series: not measured (--residuals)")
	}
	for _, m := range b.Missed {
		fmt.Fprintf(w, "missed: %s\n", m)
	}
}
