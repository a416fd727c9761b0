package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

type runOptions struct {
	sourceOptions
	target, machine, nic, suite, layer, image string
	repeat                                    int
	keep                                      bool
	seed                                      uint64
}

func runCommand(a *app) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run --target T --suite S[/CASE]",
		Short: "one suite on one machine, without the state's database",
		Long: `Boots an image and runs a suite, or one case of it, on it. The image is one of
the state directory, or is built first: from a folder with --src, from a commit
with --commit; without either, from the packaged kernel and nothing of a commit
for a Linux target, else from the newest commit. Nothing is recorded: this is
for a look, and for scripts. It may take as long as the pipeline gives the layer, or
10 minutes when the pipeline lacks it. The console of a run that went wrong is kept in
consoles/hand, what the cases kept (captures, plots) in artifacts/hand, of each of
which the newest 20 stay. Exit 0 when it passed, 1 when a case failed or the
source does not compile, 125 when nothing could be told.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runOnce(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "linux", "`target` of the pipeline")
	f.StringVar(&o.machine, "machine", "", "`machine` of the pipeline (default: the one that can run most of the cases)")
	f.StringVar(&o.suite, "suite", "smoke", "`suite`, or suite/case")
	f.StringVar(&o.layer, "layer", "smoke", "`layer` whose cases run")
	f.StringVar(&o.nic, "nic", "", "`model@link[,option=value]`, or several with commas, instead of the machine's; see headwatch nics")
	o.sourceOptions.flags(f)
	f.StringVar(&o.image, "image", "", "`id` of an image of the state directory")
	f.IntVar(&o.repeat, "repeat", 1, "how `often`, each a cold boot")
	f.BoolVar(&o.keep, "keep", false, "keep every artifact of the cases; else of those that passed what is small")
	f.Uint64Var(&o.seed, "seed", 1, "seed `N` of the cases' random choices")
	return cmd
}

func (a *app) runOnce(ctx context.Context, o runOptions) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	j, only, err := resolve(file, o)
	if err != nil {
		return err
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(imagesPath(dir)); o.image != "" && err != nil {
		return usagef("--image %s: %s has no images", o.image, dir)
	}
	docs, err := a.runs(ctx, file, dir, o, j, only)
	return a.tellRuns(docs, o.repeat == 1, err)
}

// runs makes the image and runs on it. What could not be told, and why, is in the
// last document too.
func (a *app) runs(ctx context.Context, file *pipeline.File, dir string, o runOptions, j orchestrator.Job, only string) (docs []handRun, err error) {
	defer func() {
		if err != nil && len(docs) == 0 {
			docs = []handRun{notRun(j, err)}
		}
	}()
	if err := preflight(ctx); err != nil {
		return nil, rig(err)
	}
	b, err := a.openBench(file, dir, "run")
	if err != nil {
		return nil, rig(err)
	}
	defer b.close()
	if o.image == "" {
		img, err := a.buildImage(ctx, b, o.target, o.sourceOptions)
		if err != nil {
			return nil, err
		}
		j.Image, j.Commit = img.ID, img.commit
	} else if img, err := b.images.Find(o.image); err != nil {
		return nil, usagef("--image: %w", err)
	} else if t := file.Targets[o.target]; img.OS != t.OS || img.Arch != t.Arch {
		return nil, usagef("--image %s is %s/%s, and target %s is %s/%s", o.image, img.OS, img.Arch, o.target, t.OS, t.Arch)
	}
	b.keepAll = o.keep
	for i := range o.repeat {
		j.Repeat, j.Seed = i, o.seed+uint64(i)
		doc, err := b.execute(ctx, j, only)
		docs = append(docs, doc)
		if !a.json && (err == nil || len(doc.Results) > 0) {
			printRun(a.stdout, doc)
		}
		if err != nil {
			return docs, rig(err)
		}
	}
	return docs, nil
}

// resolve checks the options of a run against what there is, before anything is
// made.
func resolve(file *pipeline.File, o runOptions) (j orchestrator.Job, only string, err error) {
	if err := o.sourceOptions.check(file, o.target); err != nil {
		return j, "", err
	}
	suite, only, _ := strings.Cut(o.suite, "/")
	var layer suites.Layer
	if err := layer.UnmarshalText([]byte(o.layer)); err != nil {
		return j, "", usagef("--layer: %w", err)
	}
	if err := knowsCase(suite, only, layer); err != nil {
		return j, "", err
	}
	name := o.machine
	if name == "" {
		name = orchestrator.Fitting(file.Machines, orchestrator.CasesOf(allSuites(), suite, layer, only))
	}
	m, ok := file.Machines[name]
	if !ok {
		return j, "", usagef("%s: no machine %q; give --machine one of %s", file.Path, name, names(file.Machines))
	}
	if o.nic != "" {
		if m.NICs, err = pipeline.ParseNICs(o.nic, knownNames()); err != nil {
			return j, "", usagef("--nic: %w", err)
		}
	}
	if err := checkDrivers(file, file.Targets[o.target], m.NICs); err != nil {
		return j, "", err
	}
	if o.repeat < 1 {
		return j, "", usagef("--repeat %d: want at least 1", o.repeat)
	}
	if o.image != "" && (o.src != "" || o.commit != "") {
		return j, "", usagef("--image is built already: give it alone, or --src or --commit")
	}
	return orchestrator.Job{ID: "run-by-hand", Kind: orchestrator.RunJob, Target: o.target, Image: o.image,
		Machine: name, Def: &m, Suite: suite, Layer: layer, Seed: o.seed}, only, nil
}

// checkDrivers refuses a NIC that the target's kernel has no driver for: the guest
// would be without it, and nothing would say so.
func checkDrivers(file *pipeline.File, t pipeline.Target, nics []pipeline.NIC) error {
	for _, n := range nics {
		if t.Drives(n.Model) {
			continue
		}
		able := maps.Clone(file.Targets)
		maps.DeleteFunc(able, func(_ string, other pipeline.Target) bool {
			return other.OS != t.OS || other.Arch != t.Arch || !other.Drives(n.Model)
		})
		advice := "a target with kernel: generic, of which " + file.Path + " has none"
		if len(able) > 0 {
			advice = "--target " + strings.Join(slices.Sorted(maps.Keys(able)), " or ")
		}
		return usagef("the %s kernel of target %s has no driver for %s: give --nic virtio-net or vmxnet3, or %s", t.Kernel, t.Name, n.Model, advice)
	}
	return nil
}

func knowsCase(suite, name string, layer suites.Layer) error {
	var have []string
	for _, s := range allSuites() {
		have = append(have, s.Name)
		if s.Name != suite {
			continue
		}
		found := false
		for _, c := range s.Cases {
			found = found || (c.Layer == layer && (name == "" || c.Name == name))
		}
		switch {
		case found:
		case name == "":
			return usagef("suite %s has no cases in layer %s; see headwatch suites", suite, layer)
		default:
			return usagef("suite %s has no case %q in layer %s; see headwatch suites", suite, name, layer)
		}
		return nil
	}
	return usagef("no suite %q; there are %s", suite, strings.Join(have, ", "))
}
