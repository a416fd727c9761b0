package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	race "github.com/headwatch/headwatch/suites/race/guest"
)

const (
	racePairs  = 31               // searches of a shape with and without pressure
	raceLimit  = 20 * time.Second // of one search
	raceTarget = "linux"
)

// raceBench is what `bench race` measured of one shape. Times are by the guest's
// clock, from the start of a search to the fault; a search that found nothing
// counts with its limit, so a median of LimitS says "at least".
type raceBench struct {
	Race      string    `json:"race"`
	Accel     string    `json:"accel"`
	Pairs     int       `json:"pairs"`
	LimitS    float64   `json:"limit_s"`
	PlainS    float64   `json:"plain_s"`    // median without pressure
	PressureS float64   `json:"pressure_s"` // and with it
	Ratio     float64   `json:"ratio"`      // of the two: above 1, pressure finds it sooner
	Missed    int       `json:"missed"`     // searches that found nothing without pressure
	PMissed   int       `json:"pressure_missed"`
	Plain     []float64 `json:"plain"` // every search, in seconds
	Pressure  []float64 `json:"pressure"`
}

// benchRace boots the Linux guest once and searches for the fault of each shape,
// in turns with and without pressure, so that what else the host does hits both.
func (a *app) benchRace(ctx context.Context) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	if err := (sourceOptions{}).check(file, raceTarget); err != nil {
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
	defer b.close()
	m, err := a.raceGuest(ctx, b)
	if err != nil {
		return err
	}
	defer m.Close()
	docs, err := a.searchAll(ctx, m)
	if err != nil {
		return rig(err)
	}
	if a.json {
		return rig(a.document(docs))
	}
	for _, d := range docs {
		fmt.Fprintf(a.stdout, "%-8s %8.3f s without pressure, %8.3f s with it: %6.1f times (medians of %d pairs; missed within %.0f s: %d and %d)\n",
			d.Race, d.PlainS, d.PressureS, d.Ratio, d.Pairs, d.LimitS, d.Missed, d.PMissed)
	}
	return nil
}

// raceGuest boots a Linux guest with two CPUs.
func (a *app) raceGuest(ctx context.Context, b *workbench) (runners.Machine, error) {
	img, err := a.buildImage(ctx, b, raceTarget, sourceOptions{})
	if err != nil {
		return nil, err
	}
	boot, err := b.builder.Open(ctx, img.ID, filepath.Join(b.scratch.dir, "image"))
	if err != nil {
		return nil, rig(err)
	}
	m, err := b.runner.Boot(ctx, boot, runners.Spec{
		SMP: 2, Memory: 512, Accel: "auto", Dir: b.scratch.dir, ConsoleLog: console.New(console.Options{}),
	})
	return m, rig(err)
}

func (a *app) searchAll(ctx context.Context, m runners.Machine) ([]raceBench, error) {
	p, ok := m.(runners.Presser)
	if !ok {
		return nil, fmt.Errorf("%T knows no pressure", m)
	}
	docs := make([]raceBench, len(race.Races))
	for i, shape := range race.Races {
		docs[i] = raceBench{Race: shape.Name, Accel: m.Facts().Accel, Pairs: racePairs, LimitS: raceLimit.Seconds()}
	}
	for seed := range uint64(racePairs) {
		for i, shape := range race.Races {
			for turn := range 2 {
				pressed := (uint64(turn)+seed)%2 == 1 // neither is always the first
				f, err := search(ctx, m, p, shape, seed, pressed)
				if err != nil {
					return nil, fmt.Errorf("race %s, seed %d: %w", shape.Name, seed, err)
				}
				docs[i].add(f, pressed)
			}
		}
		fmt.Fprintf(a.stderr, "pair %d of %d\n", seed+1, racePairs)
	}
	for i := range docs {
		d := &docs[i]
		d.PlainS, d.PressureS = median(d.Plain), median(d.Pressure)
		d.Ratio = d.PlainS / d.PressureS
	}
	return docs, nil
}

// search runs one race until its fault shows.
func search(ctx context.Context, m runners.Machine, p runners.Presser, shape race.Shape, seed uint64, pressed bool) (f race.Found, err error) {
	if pressed {
		stop, err := p.Pressure(ctx, seed)
		if err != nil {
			return f, err
		}
		defer func() {
			if e := stop(); err == nil {
				err = e
			}
		}()
	}
	args := race.FindArgs{Race: shape.Name, Seed: seed, Limit: raceLimit.Seconds(), Pace: shape.Pace}
	err = m.Call(ctx, race.OpFind, args, &f)
	return f, err
}

func (d *raceBench) add(f race.Found, pressed bool) {
	times, missed := &d.Plain, &d.Missed
	if pressed {
		times, missed = &d.Pressure, &d.PMissed
	}
	*times = append(*times, f.After)
	if !f.Found {
		*missed++
	}
}

// median is the middle of the values, the upper of two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
