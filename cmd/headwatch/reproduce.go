package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

type reproduceOptions struct {
	repeat int
}

func reproduceCommand(a *app) *cobra.Command {
	var o reproduceOptions
	cmd := &cobra.Command{
		Use:   "reproduce RUN[/CASE]",
		Short: "do a run again: same image, machine, cases and seed",
		Long: `Boots the image of a recorded run on the same machine and runs the same cases, or
one of them, with the same seed, each in a clone where it was one then. RUN is a
run's id or an unambiguous beginning of it. Nothing is recorded. Says which seed, image,
QEMU and command line were used, where they are others than then, and whether the
cases went as they did. With --repeat, all are of one cold boot, and the number that
failed is told. Exit 0 when it passed, 1 when a case failed, 125 when nothing could be
told.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.reproduce(cmd.Context(), args[0], o) },
	}
	cmd.Flags().IntVar(&o.repeat, "repeat", 1, "how `often`")
	return cmd
}

func (a *app) reproduce(ctx context.Context, what string, o reproduceOptions) error {
	if o.repeat < 1 {
		return usagef("--repeat %d: want at least 1", o.repeat)
	}
	id, name, one := strings.Cut(what, "/")
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dbPath(dir)); err != nil {
		return usagef("run %s: there is no database in %s; give --state DIR", id, dir)
	}
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	was, err := a.recordedRun(ctx, dir, id)
	if err != nil {
		return err
	}
	j, err := a.jobOf(file, was)
	if err != nil {
		return err
	}
	if one {
		known, err := suitesOf(file)
		if err != nil {
			return rig(err)
		}
		if name, err = caseOf(was.Run, j.Suite, name, orchestrator.CasesOf(known, j.Suite, j.Layer, "")); err != nil {
			return err
		}
	}
	if err := preflight(ctx); err != nil {
		return rig(err)
	}
	b, err := a.openBench(file, dir, "reproduce")
	if err != nil {
		return rig(err)
	}
	defer b.close()
	if err := b.ensureImage(ctx, j); err != nil {
		return rig(err)
	}
	return a.again(ctx, b, j, was, name, o.repeat)
}

// again does a run so often, all from one cold boot, and tells what came of it.
func (a *app) again(ctx context.Context, b *workbench, j orchestrator.Job, was api.Run, only string, repeat int) error {
	var last runners.Template
	b.keep = func(t runners.Template) {
		if last != nil {
			last.Close()
		}
		last = t
	}
	defer func() { b.keep(nil) }()
	p := reproduction{Times: repeat, Statuses: []string{}}
	var docs []handRun
	for i := range repeat {
		doc, err := b.execute(ctx, j, only)
		doc.Run.Run, doc.Reproduce = was.Run, a.reproduceCommandLine(b, was.Run, only)
		docs = append(docs, doc)
		p.count(doc)
		if !a.json && (err == nil || len(doc.Results) > 0) {
			if i == 0 {
				printRun(a.stdout, doc)
			} else {
				fmt.Fprintf(a.stdout, "%d of %d: %s%s\n", i+1, repeat, doc.Status, because(firstFault(doc)))
			}
		}
		if err != nil {
			return a.tellReproduction(docs, was, only, p, rig(err))
		}
	}
	return a.tellReproduction(docs, was, only, p, nil)
}

// reproduceCommandLine does it once more.
func (a *app) reproduceCommandLine(b *workbench, run, only string) string {
	return "headwatch reproduce " + strings.TrimSuffix(run+"/"+only, "/") + b.flags
}

// tellReproduction shows what came of doing a run again beside what it said then.
// err ended it.
func (a *app) tellReproduction(docs []handRun, was api.Run, only string, p reproduction, err error) error {
	p.Then = compare(was, docs[0].Run)
	p.Same = err == nil
	for _, d := range docs {
		if err != nil {
			break // what could not be told is no difference
		}
		for _, line := range differences(was, d.Run, only) {
			p.Same = false
			fmt.Fprintf(a.stderr, "headwatch: %s\n", line)
		}
	}
	if a.json {
		p.handRun = docs[p.shown]
		if bad := a.document(p); bad != nil {
			return rig(bad)
		}
	} else {
		p.print(a.stdout, was.Run)
	}
	if err != nil {
		return err
	}
	return runVerdict(docs)
}

// jobOf is the job of a recorded run: its machine is what it was then.
func (a *app) jobOf(file *pipeline.File, was api.Run) (j orchestrator.Job, err error) {
	if was.Image == "" {
		return j, rig(fmt.Errorf("run %s has no image", was.Run))
	}
	j = orchestrator.Job{
		ID: was.Job, Kind: orchestrator.RunJob, Upstream: was.Upstream, Commit: was.Commit, Target: was.Target, Build: was.Build,
		Image: was.Image, Machine: was.Machine, Suite: was.Suite, Repeat: was.Repeat, Seed: was.Seed,
	}
	if err := j.Layer.UnmarshalText([]byte(was.Layer)); err != nil {
		return j, rig(err)
	}
	if was.Spec == nil {
		return j, rig(fmt.Errorf("run %s does not say what machine %q was", was.Run, was.Machine))
	}
	m := pipeline.Machine{Name: was.Machine, SMP: was.Spec.SMP, Memory: was.Spec.Memory, Accel: was.Spec.Accel, Control: was.Spec.Control, Clock: was.Spec.Clock, Lines: was.Spec.Lines}
	for _, n := range was.Spec.NICs {
		m.NICs = append(m.NICs, pipeline.NIC(n))
	}
	j.Def = &m
	return j, nil
}

// ensureImage builds an image again that was collected since. Beside an owner
// that is the owner's to do: mirrors have one user.
func (b *workbench) ensureImage(ctx context.Context, j orchestrator.Job) error {
	if known, err := b.images.Has(j.Image); known || err != nil {
		return err
	}
	if b.lock == nil {
		return fmt.Errorf("image %s is gone; try again when %s has no owner: it is built again then", j.Image, b.dir)
	}
	w := orchestrator.Worker{
		Pipeline: b.file, Sources: b.mirrors.source, Builder: b.builder, Places: orchestrator.Places{Root: b.scratch.dir},
	}
	return w.Restore(ctx, j)
}

// recordedRun reads a run from the owner of the state directory where it serves,
// else from the database.
func (a *app) recordedRun(ctx context.Context, dir, id string) (api.Run, error) {
	if who, owned := findOwner(dir); owned && who.URL != "" {
		return askOwner(ctx, who, id)
	}
	db, err := store.Share(ctx, dbPath(dir))
	if err != nil {
		return api.Run{}, rig(err)
	}
	defer db.Close()
	r, err := db.Run(ctx, id)
	if isUnknown(err) {
		return api.Run{}, usagef("run %s in %s: %w", id, dir, err)
	}
	if err != nil {
		return api.Run{}, rig(err)
	}
	results, err := db.Results(ctx, r.ID)
	if err != nil {
		return api.Run{}, rig(err)
	}
	return web.RunDocument(r, results, nil), nil
}

func askOwner(ctx context.Context, who owner, id string) (api.Run, error) {
	c, err := api.NewClient(who.URL, nil)
	if err != nil {
		return api.Run{}, rig(err)
	}
	doc, err := c.Run(ctx, id)
	if api.IsNotFound(err) {
		return api.Run{}, usagef("run %s at %s: %w", id, who.URL, err)
	}
	return doc, rig(err)
}
