package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/suites"
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
	was, err := a.recordedRun(ctx, id)
	if err != nil {
		return err
	}
	if was.Image == "" {
		return rig(fmt.Errorf("run %s has no image", was.Run))
	}
	b, err := a.openBench()
	if err != nil {
		return rig(err)
	}
	defer b.close()
	m, ok := b.file.Machines[was.Machine]
	if !ok {
		return rig(fmt.Errorf("run %s was on machine %q, which is not in %s any more", was.Run, was.Machine, b.file.Path))
	}
	var layer suites.Layer
	if err := layer.UnmarshalText([]byte(was.Layer)); err != nil {
		return rig(err)
	}
	if err := preflight(ctx); err != nil {
		return rig(err)
	}
	j := orchestrator.Job{
		ID: was.Job, Kind: orchestrator.RunJob, Commit: was.Commit, Target: was.Target, Build: was.Build,
		Image: was.Image, Machine: was.Machine, Suite: was.Suite, Layer: layer, Repeat: was.Repeat, Seed: was.Seed,
	}
	doc, err := b.execute(ctx, j, m, "")
	if ctx.Err() != nil {
		return rig(errors.New("stopped"))
	}
	if err != nil {
		return rig(err)
	}
	return a.reportReproduction(was, doc)
}

// reportReproduction shows what came of doing a run again beside what it said
// then.
func (a *app) reportReproduction(was, now api.Run) error {
	now.Run = was.Run
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
	return runVerdict([]api.Run{now})
}

// recordedRun reads a run from the owner of the state directory, or from the
// database when nobody owns it.
func (a *app) recordedRun(ctx context.Context, id string) (api.Run, error) {
	dir, err := a.stateDir()
	if err != nil {
		return api.Run{}, err
	}
	lock, err := own(dir, "reproduce")
	if owned, ok := errors.AsType[*errOwned](err); ok && owned.who.URL != "" {
		return askOwner(ctx, owned.who, id)
	}
	if err != nil {
		return api.Run{}, rig(err)
	}
	defer lock.release()
	db, err := store.Open(ctx, dbPath(dir))
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
