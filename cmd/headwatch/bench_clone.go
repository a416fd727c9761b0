package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/console"
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

// cloneBench is what `bench clone` measured of a target. Times are medians.
type cloneBench struct {
	Target    string  `json:"target"`
	Accel     string  `json:"accel"`
	ColdBootS float64 `json:"cold_boot_s"` // power-on to the agent's first answer
	CloneS    float64 `json:"clone_s"`     // asking to a renewed agent's answer and a frame on the clone's wire
	Ratio     float64 `json:"ratio"`       // cold boot over clone
	Clones    int     `json:"clones"`      // that were timed

	CloneBestS  float64 `json:"clone_best_s"`
	CloneWorstS float64 `json:"clone_worst_s"`
	AtOnce      int     `json:"at_once"`    // clones that ran side by side
	MemoryMiB   float64 `json:"memory_mib"` // of all of these, shared pages counted once; 0: the host does not tell
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
	fmt.Fprintf(a.stdout, "%-16s cold boot %7.3f s   clone %6.3f s (%.3f to %.3f, of %d)   ratio %5.1f   %s\n",
		d.Target, d.ColdBootS, d.CloneS, d.CloneBestS, d.CloneWorstS, d.Clones, d.Ratio, d.Accel)
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

// cloneTrial is one target's measurement under way.
type cloneTrial struct {
	bench *workbench
	image runners.Bootable
	dir   string
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
	r := qemu.New(qemu.Config{Log: log}) // keeps no templates: each is of this run
	spec, err := t.spec()
	if err != nil {
		return d, err
	}
	template, err := r.Template(ctx, t.image, spec)
	if err != nil {
		return d, err
	}
	defer template.Close()
	f := template.Facts()
	if f.BootID == "" {
		return d, errors.New("this machine cannot be cloned; its log says why")
	}
	d.Accel = f.Accel
	colds, clones := []time.Duration{f.BootTime}, []time.Duration{}
	for round := range cloneRounds {
		if round > 0 {
			if spec, err = t.spec(); err != nil {
				return d, err
			}
			cold, err := t.time(func() (runners.Machine, error) { return r.Boot(ctx, t.image, spec) })
			if err != nil {
				return d, err
			}
			colds = append(colds, cold.BootTime)
		}
		for range clonesPerRound {
			clone, err := t.time(func() (runners.Machine, error) { return t.start(ctx, template) })
			if err != nil {
				return d, err
			}
			clones = append(clones, clone.StartTime)
		}
	}
	slices.Sort(colds)
	slices.Sort(clones)
	cold, clone := colds[len(colds)/2], clones[len(clones)/2]
	d.ColdBootS, d.CloneS, d.Ratio, d.Clones = cold.Seconds(), clone.Seconds(), cold.Seconds()/clone.Seconds(), len(clones)
	d.CloneBestS, d.CloneWorstS = clones[0].Seconds(), clones[len(clones)-1].Seconds()
	d.AtOnce = clonesAtOnce
	d.MemoryMiB, err = t.memory(ctx, template)
	return d, err
}

// time starts a machine and ends it.
func (t *cloneTrial) time(start func() (runners.Machine, error)) (runners.Facts, error) {
	m, err := start()
	if err != nil {
		return runners.Facts{}, err
	}
	f := m.Facts()
	_, err = m.Close()
	return f, err
}

// memory is what clonesAtOnce clones take together, in MiB.
func (t *cloneTrial) memory(ctx context.Context, template runners.Template) (float64, error) {
	var mu sync.Mutex
	var machines []runners.Machine
	var failures []error
	var starts sync.WaitGroup
	slots := make(chan struct{}, benchSMP)
	for range clonesAtOnce {
		slots <- struct{}{}
		starts.Go(func() {
			m, err := t.start(ctx, template)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
				return
			}
			machines = append(machines, m)
		})
	}
	starts.Wait()
	size := childrenMemory()
	for _, m := range machines {
		_, err := m.Close()
		failures = append(failures, err)
	}
	return float64(size) / (1 << 20), errors.Join(failures...)
}

func (t *cloneTrial) start(ctx context.Context, template runners.Template) (runners.Machine, error) {
	dir, err := t.room()
	if err != nil {
		return nil, err
	}
	return template.Start(ctx, runners.Start{Dir: dir, ConsoleLog: console.New(console.Options{})})
}

func (t *cloneTrial) spec() (runners.Spec, error) {
	dir, err := t.room()
	return runners.Spec{
		SMP: benchSMP, Memory: benchMemory, Accel: "auto", NICs: []runners.NIC{{Model: "virtio-net", Link: "wire"}},
		Dir: dir, ConsoleLog: console.New(console.Options{}),
	}, err
}

// room is a new folder for a machine.
func (t *cloneTrial) room() (string, error) {
	return os.MkdirTemp(t.dir, "machine-")
}

// childrenMemory is what the processes that this one started take, in bytes: the
// sum of their proportional set sizes (proc(5), smaps_rollup), which counts a page
// that n of them share as 1/n in each. 0 where there is no such file.
func childrenMemory() int64 {
	var sum int64
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range tasks {
		pids, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, pid := range strings.Fields(string(pids)) {
			text, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
			if err != nil {
				continue
			}
			for line := range bytes.Lines(text) {
				if f := strings.Fields(string(line)); len(f) == 3 && f[0] == "Pss:" {
					kib, _ := strconv.ParseInt(f[1], 10, 64) // not a number: it counts as none
					sum += kib << 10
				}
			}
		}
	}
	return sum
}
