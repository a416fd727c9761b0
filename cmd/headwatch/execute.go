package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

// handRun is the document of a run by hand.
type handRun struct {
	api.Run
	Console string `json:"console,omitempty"` // path of the kept console, when the run went wrong
}

// execute runs a job and gives its document, which has what is known when the rig
// fails, too.
func (b *workbench) execute(ctx context.Context, j orchestrator.Job, only string) (handRun, error) {
	log := console.New(console.Options{})
	defer log.Close()
	r := orchestrator.Run{ID: fmt.Sprintf("hand-%d", j.Repeat), Job: j, Attempt: 1, State: orchestrator.RunFinished, Started: time.Now()}
	keeper := orchestrator.NewKeeper(filepath.Join(b.scratch.dir, r.ID+"-artifacts"), b.keepAll)
	defer keeper.Close()
	var results []suites.Result
	e := orchestrator.Execution{
		Builder: b.builder, Runner: b.runner, Cases: orchestrator.CasesOf(b.suites, j.Suite, j.Layer, only),
		Image: j.Image, Commit: j.Commit, Ordinal: j.Repeat, Suite: j.Suite, Seed: j.Seed, Dir: filepath.Join(b.scratch.dir, r.ID), Console: log,
		Record: func(res suites.Result) error { results = append(results, res); return nil }, Keep: b.keep, Artifacts: keeper,
	}
	var err error
	r.Status, err = e.Do(ctx, *j.Def, b.file.Timeout(j.Layer), &r)
	if ctx.Err() != nil {
		err = errors.New("stopped")
	}
	if err != nil {
		r.Status, r.Reason = suites.Broken, err.Error()
	}
	r.Finished = time.Now()
	lines := orchestrator.Symbolizer{Builder: b.builder, Open: openSymbols}
	crashes, unread := lines.Crashes(ctx, r.ID, j.Image, e.Dir, log.Crashes())
	if unread != nil && ctx.Err() == nil {
		b.log.Warn("a report has no lines", "err", unread)
	}
	doc := handRun{Run: web.RunDocument(r, results, crashes)}
	doc.Reproduce = b.again(j, only)
	if r.Status == suites.Failed || r.Status == suites.Broken || len(doc.Crashes) > 0 {
		var kept error
		doc.Console, kept = b.keepConsole(log, j)
		err = errors.Join(err, kept)
	}
	return doc, errors.Join(err, b.keepArtifacts(keeper, j, &doc))
}

// keepArtifacts gives what the cases kept a place, and tells it in the document.
func (b *workbench) keepArtifacts(keeper *orchestrator.Keeper, j orchestrator.Job, doc *handRun) error {
	if keeper.Kept() == 0 {
		return nil // and what others kept stays
	}
	name, err := handFolder(b.dir, fmt.Sprintf("%s-%s-%d", j.Target, j.Suite, j.Repeat))
	if err != nil {
		return fmt.Errorf("keep artifacts: %w", err)
	}
	artifacts, err := keeper.Place(b.dir, name, doc.Run.Run)
	for _, a := range artifacts {
		for i := range doc.Results {
			if r := &doc.Results[i]; r.Case == a.Case {
				r.Artifacts = append(r.Artifacts, api.Artifact{Name: a.Name, MediaType: a.MediaType, SizeBytes: a.Size, SHA256: a.SHA256, Path: keptPath(b.dir, a.Path)})
			}
		}
	}
	return err
}

// keepConsole saves the console of a run that went wrong, if it said anything.
func (b *workbench) keepConsole(log *console.Log, j orchestrator.Job) (string, error) {
	if log.Size() == 0 {
		return "", nil
	}
	path, err := handPath(b.dir, "consoles", fmt.Sprintf("%s-%s-%d", j.Target, j.Suite, j.Repeat), ".zst")
	if err != nil {
		return "", fmt.Errorf("keep the console: %w", err)
	}
	return path, log.Save(path)
}

// notRun is the document of a run that came to nothing: its image could not be made,
// or the rig failed before it began.
func notRun(j orchestrator.Job, err error) handRun {
	r := orchestrator.Run{ID: fmt.Sprintf("hand-%d", j.Repeat), Job: j, State: orchestrator.RunFinished, Status: suites.Broken, Reason: err.Error()}
	var results []suites.Result
	if e, ok := errors.AsType[*exitError](err); ok && e.code == exitBad {
		r.Status = suites.Failed
		results = []suites.Result{{Case: orchestrator.CaseBuild, Status: suites.Failed, Reason: err.Error()}}
	}
	doc := handRun{Run: web.RunDocument(r, results, nil)}
	doc.Reproduce = ""
	return doc
}

// again is the command that does a job again.
func (b *workbench) again(j orchestrator.Job, only string) string {
	nics := ""
	if known := b.file.Machines[j.Machine].NICs; !slices.Equal(known, j.Def.NICs) {
		nics = " --nic " + nicSpec(j.Def.NICs)
	}
	return fmt.Sprintf("headwatch run --target %s --machine %s%s --image %s --suite %s --layer %s --seed %d%s",
		j.Target, j.Machine, nics, j.Image, strings.TrimSuffix(j.Suite+"/"+only, "/"), j.Layer, j.Seed, b.flags)
}

// nicSpec writes NICs as --nic takes them.
func nicSpec(nics []pipeline.NIC) string {
	var out []string
	for _, n := range nics {
		out = append(out, n.String())
	}
	return strings.Join(out, ",")
}
