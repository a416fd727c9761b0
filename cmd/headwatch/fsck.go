package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners/build/images"
)

// stateEntries is everything that may lie in a state directory.
var stateEntries = []string{
	"lock", "headwatch.db", "headwatch.db-wal", "headwatch.db-shm", "queue", "images", "mirrors",
	"logs", "consoles", "artifacts", "work", "scratch", "cache", "nics", "pipelines.yaml", demoUpstream,
}

// problem is one thing that is not as it should be in a state directory.
type problem struct {
	Check string `json:"check"`
	What  string `json:"what"`
	Fixed bool   `json:"fixed"`
	Note  bool   `json:"note"` // no damage: what a killed process left, or nobody needs
}

func fsckCommand(a *app) *cobra.Command {
	var repair bool
	cmd := &cobra.Command{
		Use: "fsck", Short: "check a state directory: database, images, logs, left-overs",
		Long: `Reads everything that the state directory holds: the database's integrity and our
own invariants, every image by its digest, the logs that results refer to, and
what does not belong there. Work that a killed process left, and files that nothing
refers to, are noted: they do no harm, and the next owner goes on from there. On a
terminal, or with --verbose, it says what was checked; elsewhere it says nothing when
all is well. Exit 0 when nothing is damaged or all was repaired, 1 otherwise.

--repair removes left-overs and damaged images, which are built again when they
are needed. It changes nothing in the database, and leaves alone what is not of
headwatch's making. Without it nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.fsck(cmd.Context(), repair) },
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "remove left-overs and damaged images")
	return cmd
}

func (a *app) fsck(ctx context.Context, repair bool) error {
	dir, lock, err := a.ownState("fsck")
	if err != nil {
		return err
	}
	defer lock.release()
	problems := []problem{}
	for _, check := range []func(context.Context, string, bool) ([]problem, error){fsckDatabase, fsckKept, fsckImages, fsckNICs, fsckFiles} {
		found, err := check(ctx, dir, repair)
		if err != nil {
			return rig(err)
		}
		problems = append(problems, found...)
	}
	if a.json {
		if err := a.document(problems); err != nil {
			return rig(err)
		}
	} else {
		for _, p := range problems {
			note := ""
			switch {
			case p.Fixed:
				note = " (repaired)"
			case p.Note:
				note = " (note)"
			}
			fmt.Fprintf(a.stdout, "%s: %s%s\n", p.Check, p.What, note)
		}
	}
	if slices.ContainsFunc(problems, func(p problem) bool { return !p.Fixed && !p.Note }) {
		return errBad
	}
	if !a.json && (a.verbose || isTerminal(a.stdout)) {
		return rig(a.saySound(ctx, dir))
	}
	return nil
}

// saySound says in one line what a sound state directory holds.
func (a *app) saySound(ctx context.Context, dir string) error {
	var n store.Counts
	if _, err := os.Stat(dbPath(dir)); err == nil {
		db, err := store.Share(ctx, dbPath(dir))
		if err != nil {
			return nil // an earlier headwatch's, which a note has said
		}
		n, err = db.Counts(ctx, "")
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	kept := 0
	if _, err := os.Stat(imagesPath(dir)); err == nil {
		s, err := images.Share(imagesPath(dir))
		if err != nil {
			return err
		}
		list, err := s.List()
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
		kept = len(list)
	}
	fmt.Fprintf(a.stdout, "%s is sound: %d commits, %d builds and %d runs in the database, %d images, all read\n", dir, n.Commits, n.Builds, n.Runs, kept)
	return nil
}

// isState tells a state directory from other folders, in which nothing is to be
// made: not even a lock.
func isState(dir string) bool {
	return slices.ContainsFunc([]string{filepath.Join(dir, "lock"), dbPath(dir)}, func(path string) bool {
		st, err := os.Stat(path)
		return err == nil && st.Mode().IsRegular()
	})
}

// fsckDatabase checks the database, and that what it refers to is there.
func fsckDatabase(ctx context.Context, dir string, _ bool) ([]problem, error) {
	path := dbPath(dir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	found, err := store.Check(ctx, path)
	if err != nil {
		return nil, err
	}
	var out []problem
	for _, f := range found {
		// A database of an earlier headwatch is sound; the next owner brings it up to date.
		out = append(out, problem{Check: "database " + f.Check, What: f.What, Note: f.Check == "version"})
	}
	if len(found) > 0 {
		return out, nil // what a damaged database refers to cannot be trusted
	}
	db, err := store.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	// We own the state directory, so nobody is at work.
	running, err := db.RunningRuns(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range running {
		out = append(out, problem{Check: "run", What: fmt.Sprintf("%s was under way when its process was killed; it is done again", r.ID), Note: true})
	}
	return out, nil
}

// leftOver notes what a killed process left, and removes it if asked.
func leftOver(path, why string, repair bool) (problem, error) {
	p := problem{Check: "left-over", What: path + ": " + why, Note: true}
	if repair {
		if err := os.RemoveAll(path); err != nil {
			return p, err
		}
		p.Fixed = true
	}
	return p, nil
}

// fsckImages reads every image.
func fsckImages(ctx context.Context, dir string, repair bool) ([]problem, error) {
	if _, err := os.Stat(imagesPath(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	kept, err := images.Share(imagesPath(dir)) // Open would clean up unasked
	if err != nil {
		return nil, err
	}
	defer kept.Close()
	found, err := kept.Check(ctx)
	if err != nil {
		return nil, err
	}
	if repair && len(found) > 0 {
		if err := kept.Repair(ctx, found); err != nil {
			return nil, err
		}
	}
	var out []problem
	for _, f := range found {
		unused := f.Problem == images.LeftOver || f.Problem == images.OrphanBlob
		out = append(out, problem{Check: "images", What: f.String(), Fixed: repair, Note: unused})
	}
	return out, nil
}

// fsckFiles finds what a killed process left behind, and what nobody knows.
func fsckFiles(_ context.Context, dir string, repair bool) ([]problem, error) {
	var out []problem
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !slices.Contains(stateEntries, e.Name()) {
			out = append(out, problem{Check: "files", What: filepath.Join(dir, e.Name()) + " is not of headwatch's making", Note: true})
		}
	}
	work := orchestrator.Places{Root: dir}.Scratch("")
	left, err := os.ReadDir(work)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, e := range left {
		paths = append(paths, filepath.Join(work, e.Name()))
	}
	dead, err := sweepScratch(dir, false)
	if err != nil {
		return nil, err
	}
	for _, path := range append(paths, dead...) {
		p, err := leftOver(path, "work of a process that was killed", repair)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
