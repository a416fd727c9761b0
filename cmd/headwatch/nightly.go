package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/web/api"
)

func nightlyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "nightly [upstream ...]",
		Short: "one pass for cron: new commits to verdicts",
		Long: `Fetches each upstream, tests its newest commit, and names the culprit of what
broke since the last pass. Without arguments it takes the upstreams that the
schedules name.

Silent and exit 0 when all is well; a short report and exit 1 on a new
regression; exit 125 when the rig itself failed. One pass at a time: a second
one over the same state directory is refused.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.nightly(cmd.Context(), args) },
	}
}

// quiet is the level of a pass's log: cron mails every line, and all that matters
// is in the report.
const quiet = slog.LevelError + 1

// passReport is what a pass found.
type passReport struct {
	Upstreams   []string         `json:"upstreams"`
	Builds      int              `json:"builds"`
	Runs        int              `json:"runs"`
	Regressions []api.Regression `json:"regressions"` // opened or settled since the last report
	RigErrors   []string         `json:"rig_errors"`
	DurationS   float64          `json:"duration_s"`
}

func (a *app) nightly(ctx context.Context, upstreams []string) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	upto := scheduled(file)
	if len(upstreams) > 0 {
		clear(upto) // who names upstreams wants all of their layers
	}
	for _, u := range upstreams {
		if _, ok := file.Upstreams[u]; !ok {
			return usagef("%s: no upstream %q", file.Path, u)
		}
		upto[u] = 0
	}
	if len(upto) == 0 {
		return usagef("%s: no schedule names an upstream; name one: headwatch nightly UPSTREAM", file.Path)
	}
	upstreams = slices.Sorted(maps.Keys(upto))
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if err := preflight(ctx, checkGuests(file, upstreams)); err != nil {
		return rig(err)
	}
	began := time.Now()
	var tally eventTally
	show := newProgress(a.stderr, a.json || !isTerminal(a.stderr))
	r, err := a.openRig(ctx, dir, "nightly", file, a.logger(quiet), tally.count, show.event)
	if err != nil {
		return err
	}
	defer r.close()
	var passErr error
	err = r.withWorker(ctx, func(ctx context.Context) error {
		passErr = r.conductor.Pass(ctx, upto)
		return ctx.Err()
	})
	show.close()
	rep := passReport{Upstreams: upstreams, Regressions: []api.Regression{}, Builds: tally.builds(), Runs: tally.runs(), RigErrors: tally.rigErrors(), DurationS: time.Since(began).Seconds()}
	if ctx.Err() != nil {
		err = errors.New("stopped; the next pass goes on from here")
	}
	if err != nil {
		return rig(errors.Join(err, a.tellBrokenPass(ctx, r, rep, err)))
	}
	if passErr != nil {
		rep.RigErrors = append(rep.RigErrors, passErr.Error())
	}
	untold, err := r.untold(ctx, upstreams)
	if err == nil {
		rep.Regressions, err = regressionDocs(ctx, r, untold)
	}
	if err != nil {
		return rig(err)
	}
	if err := a.reportPass(rep); err != nil {
		return rig(fmt.Errorf("write the report: %w", err))
	}
	// Only what is written is told: a pass that is killed before tells it next time.
	for _, g := range untold {
		if err := r.db.Reported(ctx, g.ID, g.State); err != nil {
			return rig(err)
		}
	}
	return passVerdict(rep)
}

// untold lists the regressions whose state no pass has reported yet, whoever found
// them.
func (r *rigging) untold(ctx context.Context, upstreams []string) ([]orchestrator.Regression, error) {
	var out []orchestrator.Regression
	for _, u := range upstreams {
		list, err := r.db.Unreported(ctx, u)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// regressionDocs are regressions as the API shows them.
func regressionDocs(ctx context.Context, r *rigging, list []orchestrator.Regression) ([]api.Regression, error) {
	out := []api.Regression{}
	for _, g := range list {
		d, err := regressionDoc(ctx, r, g)
		if err != nil {
			return out, err
		}
		out = append(out, d)
	}
	return out, nil
}

// tellBrokenPass prints what is known after a pass that the rig, or who started it,
// has ended. The regressions in it are told again by the next pass.
func (a *app) tellBrokenPass(ctx context.Context, r *rigging, rep passReport, why error) error {
	if !a.json {
		return nil
	}
	rep.RigErrors = append(rep.RigErrors, why.Error())
	ctx = context.WithoutCancel(ctx)
	if untold, err := r.untold(ctx, rep.Upstreams); err == nil {
		rep.Regressions, _ = regressionDocs(ctx, r, untold) // what can be read, of a store that may be what failed
	}
	return a.document(rep)
}

// reportPass prints what a pass found, and nothing when all is well.
func (a *app) reportPass(rep passReport) error {
	if a.json {
		return a.document(rep)
	}
	for _, g := range rep.Regressions {
		if _, err := fmt.Fprintln(a.stdout, regressionLine(g)); err != nil {
			return err
		}
	}
	for _, e := range rep.RigErrors {
		if _, err := fmt.Fprintf(a.stdout, "rig: %s\n", e); err != nil {
			return err
		}
	}
	return nil
}

// passVerdict is the exit code of a pass.
func passVerdict(rep passReport) error {
	switch {
	case len(rep.Regressions) > 0:
		return errBad
	case len(rep.RigErrors) > 0:
		return &exitError{code: exitRig}
	}
	return nil
}
