package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/freebsd"
	"github.com/headwatch/headwatch/suites/kernel"
)

const (
	buildCleanLimit       = 1.1 // a build from nothing over plain make
	buildIncrementalLimit = 1.3 // what one changed file costs until there is an image, less buildImageShare
	buildImageShare       = 5 * time.Second
	buildUnchangedLimit   = time.Second
)

// buildChanged is the file that `bench build` changes, and buildChange what it adds.
const (
	buildChanged = "sys/netinet/tcp_input.c"
	buildChange  = "\nint headwatch_bench_%d = %d;\n"
)

type benchBuildOptions struct {
	src, target string
	rounds      int
}

func benchBuildCommand(a *app) *cobra.Command {
	var o benchBuildOptions
	cmd := &cobra.Command{
		Use: "build --src DIR", Short: "what headwatch adds to the tree's own make", Args: cobra.NoArgs,
		Long: `Builds a FreeBSD tree by its own make and by headwatch, each from nothing; then
changes one file of sys/netinet a few times and builds it by both in turns. Then
come a build in which nothing has changed, one whose objects are lost, which has the
memory of ccache(1) alone, and a clean one, which has none. The tree is only read. It
takes three to four times as long as a kernel.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.src == "" || o.rounds < 1 {
				return usagef("want --src DIR, a FreeBSD source tree, and at least 1 round")
			}
			return a.benchBuild(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.src, "src", "", "source tree in `folder`, which is not changed")
	cmd.Flags().StringVar(&o.target, "target", "freebsd-amd64", "`target` of the pipeline, built from a tree")
	cmd.Flags().IntVar(&o.rounds, "rounds", 3, "changes of a file")
	return cmd
}

// buildBench is what `bench build` measured.
type buildBench struct {
	Target string `json:"target"`
	Jobs   int    `json:"jobs"`
	// By make: the tree's own tools, the kernel, the loader.
	ToolsS   float64 `json:"tools_s"`
	KernelS  float64 `json:"kernel_s"`
	LoaderS  float64 `json:"loader_s"`
	MakeCPUS float64 `json:"make_cpu_s"` // of the three together
	// By headwatch, until there is an image: from nothing, which fills ccache; with that
	// alone; clean, which confirms what other builds decided.
	FirstS     float64 `json:"first_s"`
	FirstCPUS  float64 `json:"first_cpu_s"`
	FirstRatio float64 `json:"first_ratio"` // over the sum of the three
	CCacheS    float64 `json:"ccache_s"`
	CleanS     float64 `json:"clean_s"`
	CleanCPUS  float64 `json:"clean_cpu_s"`
	CleanRatio float64 `json:"clean_ratio"`
	CleanLimit float64 `json:"clean_limit"` // of both ratios
	// One changed file, medians of the rounds.
	MakeS            float64 `json:"make_s"`  // by make, the kernel
	ImageS           float64 `json:"image_s"` // by headwatch, the image
	IncrementalRatio float64 `json:"incremental_ratio"`
	IncrementalLimit float64 `json:"incremental_limit"`
	UnchangedS       float64 `json:"unchanged_s"`
	UnchangedLimitS  float64 `json:"unchanged_limit_s"`
}

func (a *app) benchBuild(ctx context.Context, o benchBuildOptions) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	if err := (sourceOptions{src: o.src}).check(file, o.target); err != nil {
		return err
	}
	recipe := orchestrator.Recipe(file.Targets[o.target])
	if recipe.OS != "freebsd" || recipe.Source != "tree" || recipe.World {
		return usagef("%s: want a target of FreeBSD with source: tree and without a world", o.target)
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
	log, err := createHandLog(dir, o.target)
	if err != nil {
		return rig(err)
	}
	defer log.Close()
	src, err := filepath.Abs(o.src)
	if err != nil {
		return rig(err)
	}
	cache := filepath.Join(b.scratch.dir, "cache")
	m := buildMeter{
		recipe: recipe, log: log, doc: buildBench{Target: o.target, Jobs: runtime.NumCPU(), CleanLimit: buildCleanLimit,
			IncrementalLimit: buildIncrementalLimit, UnchangedLimitS: buildUnchangedLimit.Seconds()},
		say: func(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) },
		// Objects of its own; images go where all are, and gc collects them.
		builder: build.New(build.Config{Store: b.images, Cache: cache, Structs: kernel.StructNames, Agent: build.Agent}),
		objects: filepath.Join(cache, "objects"),
	}
	if err := m.measure(ctx, filepath.Join(b.scratch.dir, "plain"), src, o.rounds); err != nil {
		return rig(fmt.Errorf("%w (log: %s)", err, log.Name()))
	}
	if a.json {
		return rig(a.document(m.doc))
	}
	m.doc.print(a)
	return nil
}

// buildMeter measures builds of one recipe.
type buildMeter struct {
	recipe  runners.Recipe
	builder *build.Builder
	objects string // where builder has them
	log     *os.File
	say     func(format string, args ...any)
	doc     buildBench
}

func (m *buildMeter) measure(ctx context.Context, cache, src string, rounds int) (err error) {
	plain, err := freebsd.New(freebsd.Config{Cache: cache}).Plain(ctx, m.recipe, src, m.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	began := cpuTime()
	for _, s := range []struct {
		name string
		do   func(context.Context) error
		to   *float64
	}{{"tools", plain.Tools, &m.doc.ToolsS}, {"kernel", plain.Kernel, &m.doc.KernelS}, {"loader", plain.Loader, &m.doc.LoaderS}} {
		if err := m.time("make: "+s.name, s.to, func() error { return s.do(ctx) }); err != nil {
			return err
		}
	}
	m.doc.MakeCPUS = (cpuTime() - began).Seconds()
	if err := m.nothingThere(ctx, plain.Source()); err != nil {
		return err
	}
	if err := m.incremental(ctx, plain, rounds); err != nil {
		return err
	}
	tree := runners.Tree{Dir: plain.Source()}
	if err := m.time("headwatch: nothing changed", &m.doc.UnchangedS, func() error { return m.image(ctx, tree, true) }); err != nil {
		return err
	}
	return m.objectsLost(ctx, plain)
}

// nothingThere builds from nothing: first so that what is made is remembered, then
// clean, which neither uses that nor leaves anything.
func (m *buildMeter) nothingThere(ctx context.Context, src string) error {
	made := m.doc.ToolsS + m.doc.KernelS + m.doc.LoaderS
	for _, s := range []struct {
		name               string
		tree               runners.Tree
		wall, cpu, perMake *float64
	}{
		{"from nothing", runners.Tree{Dir: src}, &m.doc.FirstS, &m.doc.FirstCPUS, &m.doc.FirstRatio},
		{"clean", runners.Tree{Dir: src, Clean: true}, &m.doc.CleanS, &m.doc.CleanCPUS, &m.doc.CleanRatio},
	} {
		began := cpuTime()
		if err := m.time("headwatch: "+s.name, s.wall, func() error { return m.image(ctx, s.tree, false) }); err != nil {
			return err
		}
		*s.cpu, *s.perMake = (cpuTime() - began).Seconds(), *s.wall/made
	}
	return nil
}

// objectsLost builds what is remembered by ccache alone, but for one file.
func (m *buildMeter) objectsLost(ctx context.Context, plain *freebsd.Plain) error {
	if err := os.RemoveAll(m.objects); err != nil {
		return err
	}
	if err := change(plain.Source(), -1); err != nil {
		return err
	}
	return m.time("headwatch: objects lost", &m.doc.CCacheS, func() error { return m.image(ctx, runners.Tree{Dir: plain.Source()}, false) })
}

// change makes a file of the tree another one.
func change(src string, n int) error {
	f, err := os.OpenFile(filepath.Join(src, buildChanged), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, buildChange, n+1, n)
	return errors.Join(err, f.Close())
}

// incremental changes a file again and again, and builds by both; who comes first
// alternates.
func (m *buildMeter) incremental(ctx context.Context, plain *freebsd.Plain, rounds int) error {
	made, images := make([]float64, rounds), make([]float64, rounds)
	for i := range rounds {
		if err := change(plain.Source(), i); err != nil {
			return err
		}
		turns := []func() error{
			func() error {
				return m.time("make: one file changed", &made[i], func() error { return plain.Kernel(ctx) })
			},
			func() error {
				return m.time("headwatch: one file changed", &images[i], func() error { return m.image(ctx, runners.Tree{Dir: plain.Source()}, false) })
			},
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
	}
	m.doc.incremental(made, images)
	return nil
}

// incremental sums up rounds, in seconds.
func (d *buildBench) incremental(made, images []float64) {
	ratios := make([]float64, len(made))
	for i := range made {
		ratios[i] = (images[i] - buildImageShare.Seconds()) / made[i]
	}
	for _, s := range [][]float64{made, images, ratios} {
		slices.Sort(s)
	}
	d.MakeS, d.ImageS, d.IncrementalRatio = median(made), median(images), median(ratios)
}

// image builds, and makes sure that it was as much work as it should be.
func (m *buildMeter) image(ctx context.Context, t runners.Tree, cached bool) error {
	img, err := m.builder.Build(ctx, m.recipe, t, m.log)
	if err == nil && img.Cached != cached {
		err = fmt.Errorf("image %s: from the cache is %t", img.ID, img.Cached)
	}
	return err
}

func (m *buildMeter) time(what string, to *float64, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	*to = time.Since(began).Seconds()
	m.say("%8.1f s  %s", *to, what)
	return nil
}

func (d buildBench) print(a *app) {
	fmt.Fprintf(a.stdout, "plain make       %8.1f s, %.0f s of CPUs: tools %.1f, kernel %.1f, loader %.1f\n",
		d.ToolsS+d.KernelS+d.LoaderS, d.MakeCPUS, d.ToolsS, d.KernelS, d.LoaderS)
	fmt.Fprintf(a.stdout, "from nothing     %8.1f s, %.0f s of CPUs: %.2f times as long (limit %.1f)\n", d.FirstS, d.FirstCPUS, d.FirstRatio, d.CleanLimit)
	fmt.Fprintf(a.stdout, "clean            %8.1f s, %.0f s of CPUs: %.2f times as long (limit %.1f)\n", d.CleanS, d.CleanCPUS, d.CleanRatio, d.CleanLimit)
	fmt.Fprintf(a.stdout, "objects lost     %8.1f s, by ccache where there is one\n", d.CCacheS)
	fmt.Fprintf(a.stdout, "one file changed %8.1f s, plain make %.1f s: less %.0f s, %.2f times as long (limit %.1f)\n",
		d.ImageS, d.MakeS, buildImageShare.Seconds(), d.IncrementalRatio, d.IncrementalLimit)
	fmt.Fprintf(a.stdout, "nothing changed  %8.2f s (limit %.1f s)\n", d.UnchangedS, d.UnchangedLimitS)
}
