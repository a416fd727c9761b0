package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

func reproduceCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reproduce RUN",
		Short: "do a run again: same image, machine, cases and seed",
		Long: `Boots the image of a recorded run on the same machine and runs the same cases
with the same seed. RUN is a run's id or an unambiguous beginning of it. Nothing
is recorded. Says whether it went as it did then. Exit 0 when it passed, 1 when a
case failed, 125 when nothing could be told.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.reproduce(cmd.Context(), args[0]) },
	}
}

func (a *app) reproduce(ctx context.Context, id string) error {
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
	doc, err := b.execute(ctx, j, "")
	doc.Run.Run = was.Run
	if err != nil {
		if !a.json && len(doc.Results) > 0 {
			printRun(a.stdout, doc)
		}
		return a.tellRuns([]handRun{doc}, true, rig(err))
	}
	return a.reportReproduction(was, doc)
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
	m := pipeline.Machine{Name: was.Machine, SMP: was.Spec.SMP, Memory: was.Spec.Memory, Accel: was.Spec.Accel, Control: was.Spec.Control}
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

// reportReproduction shows what came of doing a run again beside what it said
// then.
func (a *app) reportReproduction(was api.Run, now handRun) error {
	if a.json {
		if err := a.document(now); err != nil {
			return rig(err)
		}
	} else {
		printRun(a.stdout, now)
	}
	then := map[string]string{}
	for _, r := range was.Results {
		then[r.Case] = r.Status
	}
	same := len(then) == len(now.Results)
	for _, r := range now.Results {
		if then[r.Case] != r.Status {
			same = false
			fmt.Fprintf(a.stderr, "headwatch: %s was %s in run %s and is %s now\n", r.Case, or(then[r.Case], "absent"), was.Run, r.Status)
		}
	}
	if same && !a.json {
		fmt.Fprintf(a.stdout, "the same as in run %s\n", was.Run)
	}
	return runVerdict([]handRun{now})
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
