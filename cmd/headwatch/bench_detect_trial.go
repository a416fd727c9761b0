package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// How much bench detect simulates. Series of 200 points: a line of half a year.
const (
	trialPoints  = 200
	quietSeries  = 2000 // of each class of noise, without a change
	stepTrials   = 5000 // of each class and size
	delayTrials  = 300
	stepNear     = 3   // points by which a change that was told may be off
	longestDelay = 30  // points after which a change counts as missed
	familySize   = 500 // metrics that are looked at together,
	familyRounds = 20
	familyAge    = 8 // and points that one more has of its new level
	speedSeries  = 200
	speedPoints  = 5000
)

// trial simulates with one class of noise. Whatever it draws follows from the seed.
type trial struct {
	noise noise
	rand  *rand.Rand
}

// falseAlarms is how many changes are told of 1000 points without one.
func (t trial) falseAlarms() float64 {
	alarms := 0
	for range quietSeries {
		alarms += len(changesOf(t.noise(t.rand, trialPoints)))
	}
	return 1000 * float64(alarms) / (quietSeries * trialPoints)
}

// step is a series with a step in its middle half.
func (t trial) step(size float64) (values []float64, at int) {
	at = trialPoints/4 + t.rand.IntN(trialPoints/2)
	return t.stepAt(size, at), at
}

func (t trial) stepAt(size float64, at int) []float64 {
	v := t.noise(t.rand, trialPoints)
	for i := at; i < len(v); i++ {
		v[i] += size
	}
	return v
}

// recall is the share of steps that are told at the right place, and wrong how many
// changes are told elsewhere, for each step.
func (t trial) recall(size float64) (share, wrong float64) {
	hits, elsewhere := 0, 0
	for range stepTrials {
		v, at := t.step(size)
		changes := changesOf(v)
		elsewhere += len(changes)
		if slices.ContainsFunc(changes, near(at)) {
			hits++
			elsewhere--
		}
	}
	return float64(hits) / stepTrials, float64(elsewhere) / stepTrials
}

func near(at int) func(verdict.Change) bool {
	return func(c verdict.Change) bool { return max(c.Index-at, at-c.Index) <= stepNear }
}

// delays lists how many points of the new level it took until each step was told,
// ascending, when the series is looked at after each point.
func (t trial) delays(size float64) []int {
	const at = trialPoints / 2
	out := make([]int, delayTrials)
	for i := range out {
		v := t.stepAt(size, at)
		for out[i] = 1; out[i] < longestDelay; out[i]++ {
			if slices.ContainsFunc(changesOf(v[:at+out[i]]), near(at)) {
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// manyMetrics looks at hundreds of metrics together of which none changed, classes of
// noise in turn, and lists how many alarms there were each time; and then at as many
// with one that did change, and counts how often that was told.
func manyMetrics(ctx context.Context, classes []noise, r *rand.Rand) (alarms []int, heard int, err error) {
	for round := range familyRounds {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		metrics := make([]verdict.Metric, familySize+1)
		for i := range metrics {
			metrics[i] = verdict.Metric{Quantity: verdict.Plain, Values: classes[i%len(classes)](r, trialPoints)}
		}
		told := 0
		for _, c := range verdict.Changes(metrics[:familySize]) {
			told += len(c)
		}
		alarms = append(alarms, told)
		const at = trialPoints - familyAge
		metrics[familySize].Values = trial{classes[round%len(classes)], r}.stepAt(3, at)
		if slices.ContainsFunc(verdict.Changes(metrics)[familySize], near(at)) {
			heard++
		}
	}
	return alarms, heard, nil
}

// aNight is the CPU time that a night's look at long series takes, with a step in
// each about once in 500 points.
func aNight(classes []noise, r *rand.Rand) time.Duration {
	metrics := make([]verdict.Metric, speedSeries)
	for i := range metrics {
		v, level := classes[i%len(classes)](r, speedPoints), 0.0
		for j := range v {
			if r.IntN(500) == 0 {
				level += 3 * r.NormFloat64()
			}
			v[j] += level
		}
		metrics[i] = verdict.Metric{Quantity: verdict.Plain, Values: v}
	}
	begin := cpuTime()
	verdict.Changes(metrics)
	return cpuTime() - begin
}
