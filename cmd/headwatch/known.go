package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// knownRow is what became of a known failure, as `known --json` prints it.
type knownRow struct {
	Upstream string `json:"upstream"`
	Target   string `json:"target"`
	Machine  string `json:"machine"`
	Case     string `json:"case"`
	State    string `json:"state"`
	Lacks    int    `json:"lacks"` // passes in a row until it lapses
	Reason   string `json:"reason"`
	Link     string `json:"link,omitempty"`
}

func knownCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "known", Short: "say what became of the failures that are known", Args: cobra.NoArgs,
		Long: `Lists the cases that the pipeline's known-failures cover, as the last plan saw them:

  expected             it fails, as the list says
  unexpectedly passed  it passed on the newest build, and may fail again
  lapsed               it has passed often enough: the next failure is a regression, and
                       the entry can go
  vanished             the newest build ran the suite, and told nothing of the case
  untold               the newest build has not run it`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.known(cmd.Context()) },
	}
}

func (a *app) known(ctx context.Context) (err error) {
	db, err := a.sharedStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig(db.Close())) }()
	all, err := db.KnownFailures(ctx)
	if err != nil {
		return rig(err)
	}
	rows := []knownRow{}
	for _, k := range all {
		rows = append(rows, knownRow{k.Upstream, k.Target, k.Machine, k.Case, string(k.State), k.Lacks, k.Reason, k.Link})
	}
	if a.json {
		return rig(a.document(rows))
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Target, r.Machine, r.Case, r.State, strings.TrimSpace(r.Reason+" "+r.Link))
	}
	return rig(w.Flush())
}

// sharedStore opens the state's database to read it, beside an owner if there is one.
func (a *app) sharedStore(ctx context.Context) (*store.DB, error) {
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dbPath(dir)); err != nil {
		return nil, usagef("there is no database in %s; give --state DIR", dir)
	}
	db, err := store.Share(ctx, dbPath(dir))
	return db, rig(err)
}

// knownFailures are those of the pipeline, for the planner.
func knownFailures(file *pipeline.File) []verdict.KnownFailure {
	var out []verdict.KnownFailure
	for _, k := range file.KnownFailures {
		out = append(out, verdict.KnownFailure{Case: k.Case, Targets: k.Targets, Reason: k.Reason, Link: k.Link})
	}
	return out
}
