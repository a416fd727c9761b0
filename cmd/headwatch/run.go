package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

type runOptions struct {
	sourceOptions
	target, machine, nic, suite, layer, image string
	repeat                                    int
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
10 minutes when the pipeline lacks it. Exit 0 when it passed, 1 when a case failed or the
source does not compile, 125 when nothing could be told.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runOnce(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "linux", "`target` of the pipeline")
	f.StringVar(&o.machine, "machine", "", "`machine` of the pipeline (default: the only one)")
	f.StringVar(&o.suite, "suite", "smoke", "`suite`, or suite/case")
	f.StringVar(&o.layer, "layer", "smoke", "`layer` whose cases run")
	f.StringVar(&o.nic, "nic", "", "`model@link`, or several with commas, instead of the machine's")
	o.sourceOptions.flags(f)
	f.StringVar(&o.image, "image", "", "`id` of an image of the state directory")
	f.IntVar(&o.repeat, "repeat", 1, "how `often`, each a cold boot")
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
	if err := preflight(ctx); err != nil {
		return rig(err)
	}
	b, err := a.openBench(file, dir, "run")
	if err != nil {
		return rig(err)
	}
	defer b.close()
	if o.image == "" {
		img, err := a.buildImage(ctx, b, o.target, o.sourceOptions)
		if err != nil {
			return err
		}
		j.Image, j.Commit = img.ID, img.commit
	} else if img, err := b.images.Find(o.image); err != nil {
		return usagef("--image: %w", err)
	} else if t := file.Targets[o.target]; img.OS != t.OS || img.Arch != t.Arch {
		return usagef("--image %s is %s/%s, and target %s is %s/%s", o.image, img.OS, img.Arch, o.target, t.OS, t.Arch)
	}
	var docs []api.Run
	for i := range o.repeat {
		j.Repeat, j.Seed = i, o.seed+uint64(i)
		doc, err := b.execute(ctx, j, only)
		if ctx.Err() != nil {
			return rig(fmt.Errorf("stopped"))
		}
		if err != nil {
			return rig(err)
		}
		docs = append(docs, doc)
		if !a.json {
			printRun(a.stdout, doc)
		}
	}
	if a.json {
		var doc any = docs
		if o.repeat == 1 {
			doc = docs[0]
		}
		if err := a.document(doc); err != nil {
			return rig(err)
		}
	}
	return runVerdict(docs)
}

// resolve checks the options of a run against what there is, before anything is
// made.
func resolve(file *pipeline.File, o runOptions) (j orchestrator.Job, only string, err error) {
	if err := o.sourceOptions.check(file, o.target); err != nil {
		return j, "", err
	}
	name := o.machine
	if name == "" && len(file.Machines) == 1 {
		for name = range file.Machines {
		}
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
	suite, only, _ := strings.Cut(o.suite, "/")
	var layer suites.Layer
	if err := layer.UnmarshalText([]byte(o.layer)); err != nil {
		return j, "", usagef("--layer: %w", err)
	}
	if err := knowsCase(suite, only, layer); err != nil {
		return j, "", err
	}
	return orchestrator.Job{ID: "run-by-hand", Kind: orchestrator.RunJob, Target: o.target, Image: o.image,
		Machine: name, Def: &m, Suite: suite, Layer: layer}, only, nil
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

// execute runs a job and gives its document.
func (b *workbench) execute(ctx context.Context, j orchestrator.Job, only string) (api.Run, error) {
	log := console.New(console.Options{})
	defer log.Close()
	r := orchestrator.Run{ID: fmt.Sprintf("hand-%d", j.Repeat), Job: j, Attempt: 1, State: orchestrator.RunFinished, Started: time.Now()}
	var results []suites.Result
	e := orchestrator.Execution{
		Builder: b.builder, Runner: b.runner, Cases: orchestrator.CasesOf(allSuites(), j.Suite, j.Layer, only),
		Image: j.Image, Commit: j.Commit, Suite: j.Suite, Seed: j.Seed, Dir: filepath.Join(b.scratch.dir, r.ID), Console: log,
		Record: func(res suites.Result) error { results = append(results, res); return nil },
	}
	var err error
	if r.Status, err = e.Do(ctx, *j.Def, b.file.Timeout(j.Layer), &r); err != nil {
		return api.Run{}, err
	}
	r.Finished = time.Now()
	doc := web.RunDocument(r, results, crashesOf(r.ID, log.Crashes()))
	nics := ""
	if known := b.file.Machines[j.Machine].NICs; !slices.Equal(known, j.Def.NICs) {
		nics = " --nic " + nicSpec(j.Def.NICs)
	}
	doc.Reproduce = fmt.Sprintf("headwatch run --target %s --machine %s%s --image %s --suite %s --layer %s --seed %d%s",
		j.Target, j.Machine, nics, j.Image, strings.TrimSuffix(j.Suite+"/"+only, "/"), j.Layer, j.Seed, b.flags)
	return doc, nil
}

// nicSpec writes NICs as --nic takes them.
func nicSpec(nics []pipeline.NIC) string {
	var out []string
	for _, n := range nics {
		out = append(out, n.Model+"@"+n.Link)
	}
	return strings.Join(out, ",")
}

func crashesOf(run string, found []runners.Crash) []orchestrator.Crash {
	var out []orchestrator.Crash
	for _, c := range found {
		out = append(out, orchestrator.Crash{Run: run, Title: c.Title, Signature: c.Signature, Text: c.Text})
	}
	return out
}
