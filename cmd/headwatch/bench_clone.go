package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/qemu"
)

const (
	// cloneRounds: in each, a cold boot is followed by clones, so that both see the
	// same host, whatever else it does.
	cloneRounds    = 3
	clonesPerRound = 10
	clonesAtOnce   = 20 // for the memory
	benchSMP       = 2
	benchMemory    = 512 // MiB
)

// cloneBench is what `bench clone` measured of a target. Times are medians, CPU
// times means: what the host spent from asking to the machine's end, by all
// processes of the command.
type cloneBench struct {
	Target    string  `json:"target"`
	Accel     string  `json:"accel"`
	ColdBootS float64 `json:"cold_boot_s"` // power-on to the agent's first answer
	CloneS    float64 `json:"clone_s"`     // asking to a renewed agent's answer and a frame on the clone's wire; a spare was ready
	Ratio     float64 `json:"ratio"`       // cold boot over clone
	Clones    int     `json:"clones"`      // that were timed, of either kind

	CloneBestS     float64 `json:"clone_best_s"`
	CloneWorstS    float64 `json:"clone_worst_s"`
	DemandS        float64 `json:"clone_on_demand_s"` // the same with no spare ready
	DemandBestS    float64 `json:"clone_on_demand_best_s"`
	DemandWorstS   float64 `json:"clone_on_demand_worst_s"`
	DemandRatio    float64 `json:"on_demand_ratio"`       // cold boot over that
	ColdBootCPUS   float64 `json:"cold_boot_cpu_s"`       // of a cold boot
	CloneCPUS      float64 `json:"clone_cpu_s"`           // of a clone that was a spare, its making included
	DemandCPUS     float64 `json:"clone_on_demand_cpu_s"` // of one that was not
	CPURatio       float64 `json:"cpu_ratio"`             // cold boot over clone
	DemandCPURatio float64 `json:"on_demand_cpu_ratio"`   // cold boot over one that was no spare

	AtOnce    int     `json:"at_once"`    // clones that ran side by side
	MemoryMiB float64 `json:"memory_mib"` // of all of these, shared pages counted once; 0: the host does not tell
}

type cloneOptions struct {
	target, image string
}

func (a *app) benchClone(ctx context.Context, o cloneOptions) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	if _, ok := file.Targets[o.target]; o.target != "" && !ok {
		return usagef("%s: no target %q; it has %s", file.Path, o.target, names(file.Targets))
	}
	if o.image != "" && o.target == "" {
		return usagef("--image is of one target: give --target, too")
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if err := preflight(ctx); err != nil {
		return rig(err)
	}
	b, err := a.openBench(file, dir, "bench")
	if err != nil {
		return rig(err)
	}
	defer b.close()
	targets := []string{o.target}
	if o.target == "" {
		targets = slices.Sorted(maps.Keys(file.Targets))
	}
	docs := []cloneBench{}
	for _, target := range targets {
		image, err := a.imageAtHand(ctx, b, target, o.image)
		if errors.Is(err, errNotAtHand) && o.target == "" {
			fmt.Fprintf(a.stderr, "%s: %v\n", target, err)
			continue
		}
		if err != nil {
			return rig(err)
		}
		doc, err := b.benchClones(ctx, target, image, a.logger(slog.LevelWarn))
		if err != nil {
			return rig(fmt.Errorf("%s: %w", target, err))
		}
		docs = append(docs, doc)
		if !a.json {
			printCloneBench(a, doc)
		}
	}
	switch {
	case len(docs) == 0:
		return rig(errors.New("no target has an image at hand; build one"))
	case a.json:
		return rig(a.document(docs))
	}
	return nil
}

func printCloneBench(a *app, d cloneBench) {
	fmt.Fprintf(a.stdout, "%-16s cold boot %7.3f s, CPU %.2f s   %s\n", d.Target, d.ColdBootS, d.ColdBootCPUS, d.Accel)
	row := func(what string, median, best, worst, ratio, cpu, cpuRatio float64) {
		fmt.Fprintf(a.stdout, "%-16s clone, %-16s %6.3f s (%.3f to %.3f, of %d)   ratio %5.1f   CPU %.2f s, ratio %.1f\n",
			"", what, median, best, worst, d.Clones, ratio, cpu, cpuRatio)
	}
	row("spare ready", d.CloneS, d.CloneBestS, d.CloneWorstS, d.Ratio, d.CloneCPUS, d.CPURatio)
	row("none ready", d.DemandS, d.DemandBestS, d.DemandWorstS, d.DemandRatio, d.DemandCPUS, d.DemandCPURatio)
	fmt.Fprintf(a.stdout, "%-16s %d clones of %d MiB side by side take %.0f MiB\n", "", d.AtOnce, benchMemory, d.MemoryMiB)
}

var errNotAtHand = errors.New("no image at hand, and making one would compile")

// imageAtHand is a target's image without compiling: a packaged kernel's is made,
// another the newest one of the target's kind in the state directory.
func (a *app) imageAtHand(ctx context.Context, b *workbench, target, id string) (string, error) {
	t := b.file.Targets[target]
	if id != "" {
		img, err := b.images.Find(id)
		return img.ID, err
	}
	if t.Source == "package" {
		img, err := a.buildImage(ctx, b, target, sourceOptions{})
		return img.ID, err
	}
	all, err := b.images.List()
	if err != nil {
		return "", err
	}
	slices.SortFunc(all, func(x, y images.Entry) int { return y.Put.Compare(x.Put) })
	for _, e := range all {
		if e.OS == t.OS && e.Arch == t.Arch {
			return e.ID, nil
		}
	}
	return "", errNotAtHand
}

// benchClones measures in rounds, and then starts many clones at once.
func (b *workbench) benchClones(ctx context.Context, target, image string, log *slog.Logger) (cloneBench, error) {
	d := cloneBench{Target: target}
	t := &cloneTrial{bench: b, dir: filepath.Join(b.scratch.dir, "clone-"+target)}
	defer os.RemoveAll(t.dir)
	var err error
	if t.image, err = b.builder.Open(ctx, image, filepath.Join(t.dir, "image")); err != nil {
		return d, err
	}
	spares, err := t.template(ctx, qemu.New(qemu.Config{Log: log}))
	if err != nil {
		return d, err
	}
	defer spares.Close()
	onDemand := qemu.New(qemu.Config{Log: log, NoSpare: true})
	none, err := t.template(ctx, onDemand)
	if err != nil {
		return d, err
	}
	defer none.Close()
	d.Accel = none.Facts().Accel
	var cold, spare, demand series
	for range sparesNeed { // until there are spares
		if _, err := t.time(func() (runners.Machine, error) { return t.start(ctx, spares) }); err != nil {
			return d, err
		}
	}
	for range cloneRounds {
		spec, err := t.spec()
		if err != nil {
			return d, err
		}
		if err := cold.add(t, bootTime, func() (runners.Machine, error) { return onDemand.Boot(ctx, t.image, spec) }, nil); err != nil {
			return d, err
		}
		for range clonesPerRound {
			if err := spare.add(t, startTime, func() (runners.Machine, error) { return t.start(ctx, spares) }, func() error { return spareReady(ctx, spares) }); err != nil {
				return d, err
			}
			if err := demand.add(t, startTime, func() (runners.Machine, error) { return t.start(ctx, none) }, nil); err != nil {
				return d, err
			}
		}
	}
	d.report(&cold, &spare, &demand)
	d.AtOnce = clonesAtOnce
	d.MemoryMiB, err = t.memory(ctx, none)
	return d, err
}

// sparesNeed is how many starts it takes until a template keeps a spare.
const sparesNeed = 2

// report puts numbers to the names.
func (d *cloneBench) report(cold, spare, demand *series) {
	for _, s := range []*series{cold, spare, demand} {
		slices.Sort(s.took)
	}
	d.Clones = len(spare.took)
	d.ColdBootS, d.CloneS, d.DemandS = cold.median(), spare.median(), demand.median()
	d.CloneBestS, d.CloneWorstS, d.DemandBestS, d.DemandWorstS = spare.best(), spare.worst(), demand.best(), demand.worst()
	d.Ratio, d.DemandRatio = d.ColdBootS/d.CloneS, d.ColdBootS/d.DemandS
	d.ColdBootCPUS, d.CloneCPUS, d.DemandCPUS = cold.cpuMean(), spare.cpuMean(), demand.cpuMean()
	d.CPURatio, d.DemandCPURatio = d.ColdBootCPUS/d.CloneCPUS, d.ColdBootCPUS/d.DemandCPUS
}

// template freezes a machine of the trial's.
func (t *cloneTrial) template(ctx context.Context, r *qemu.Runner) (runners.Template, error) {
	spec, err := t.spec()
	if err != nil {
		return nil, err
	}
	template, err := r.Template(ctx, t.image, spec) // it is kept nowhere: each is of this run
	if err != nil {
		return nil, err
	}
	if template.Facts().BootID == "" {
		return nil, errors.Join(errors.New("this machine cannot be cloned; its log says why"), template.Close())
	}
	return template, nil
}

// spareReady waits until a template has a spare.
func spareReady(ctx context.Context, template runners.Template) error {
	is, err := template.(interface {
		AwaitSpare(context.Context) (bool, error)
	}).AwaitSpare(ctx)
	if err == nil && !is {
		err = errors.New("no spare was made; memory is short, or the log says why")
	}
	return err
}
