package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/images"
)

// gcAge is after how long things go that nobody needs.
const gcAge = 14 * 24 * time.Hour

type gcOptions struct {
	older      time.Duration
	dry, quiet bool
}

// gcDocument is what `gc --json` prints.
type gcDocument struct {
	DryRun     bool     `json:"dry_run"`
	FreedBytes int64    `json:"freed_bytes"`
	Images     int      `json:"images"`
	Objects    int      `json:"objects"`   // folders of objects
	Records    int      `json:"records"`   // of builds whose image is gone
	Logs       int      `json:"logs"`      // of builds
	Consoles   int      `json:"consoles"`  // of runs
	Artifacts  int      `json:"artifacts"` // folders of what the cases of a run kept
	Gone       []string `json:"gone"`      // ids of images, and paths
}

func gcCommand(a *app) *cobra.Command {
	var o gcOptions
	cmd := &cobra.Command{
		Use: "gc", Short: "make room: drop what is old and nobody needs",
		Long: `Removes from a state directory what is older than a limit and not needed:

images      all but those of jobs without an outcome, of both ends, the culprit and
            the evidence of regressions that are not fixed, and the newest of each
            target. An image that is wanted again is built again.
caches      objects of builds from source that no build has used, and records of
            builds whose image is gone
logs        of builds by hand, of builds that passed, and of earlier tries
consoles    of runs by hand, and of runs that passed, unless a crash was seen on
            them or a regression refers to them
artifacts   (captures, plots) of runs by hand, and of runs that no regression refers to

Results, verdicts and regressions stay. Nothing is removed that another command
uses: while the state directory has an owner, or a command by hand works on its
images, gc is refused, with exit code 125.`,
		Example: `  headwatch gc --dry-run
  30 12 * * 0  headwatch gc --quiet    # in a crontab, when no pass is under way`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gc(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.DurationVar(&o.older, "older", gcAge, "`age` from which things go")
	f.BoolVar(&o.dry, "dry-run", false, "remove nothing, say what would be removed")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing when it went well")
	return cmd
}

func (a *app) gc(ctx context.Context, o gcOptions) error {
	if o.older < 0 {
		return usagef("--older %v: want an age, such as 336h", o.older)
	}
	dir, lock, err := a.ownState("gc")
	if err != nil {
		return err
	}
	defer lock.release()
	g := garbage{dir: dir, before: time.Now().Add(-o.older), older: o.older, dry: o.dry, found: gcDocument{DryRun: o.dry, Gone: []string{}}}
	err = g.collect(ctx)
	if a.json {
		return rig(errors.Join(err, a.document(g.found)))
	}
	if !o.quiet || err != nil {
		if o.dry || a.verbose {
			for _, what := range g.found.Gone {
				fmt.Fprintln(a.stdout, what)
			}
		}
		fmt.Fprintln(a.stdout, g.found)
	}
	return rig(err)
}

// String sums it up in one line.
func (d gcDocument) String() string {
	verb := "freed"
	if d.DryRun {
		verb = "would free"
	}
	return fmt.Sprintf("%s %.1f MiB: %d images, %d folders of objects, %d logs, %d consoles, artifacts of %d runs",
		verb, float64(d.FreedBytes)/(1<<20), d.Images, d.Objects, d.Logs, d.Consoles, d.Artifacts)
}

// garbage is what goes from a state directory that we own.
type garbage struct {
	dir    string
	before time.Time // what was used since stays
	older  time.Duration
	dry    bool
	db     *store.DB // nil: there is none
	found  gcDocument
}

func (g *garbage) collect(ctx context.Context) (err error) {
	if _, stat := os.Stat(dbPath(g.dir)); stat == nil {
		open := store.Open
		if g.dry {
			open = store.Share
		}
		if g.db, err = open(ctx, dbPath(g.dir)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, g.db.Close()) }()
	} else if !errors.Is(stat, fs.ErrNotExist) {
		return stat
	}
	if _, err := os.Stat(imagesPath(g.dir)); err == nil {
		if err := g.images(ctx); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return g.files(ctx)
}

// images collects images, and then what the caches know of those that are gone.
func (g *garbage) images(ctx context.Context) error {
	keep := map[string]bool{}
	if g.db != nil {
		needed, err := g.db.NeededImages(ctx)
		if err != nil {
			return err
		}
		for _, id := range needed {
			keep[id] = true
		}
	}
	kept, err := images.Share(imagesPath(g.dir))
	if err != nil {
		return err
	}
	defer kept.Close()
	err = kept.Alone(func() error {
		ids, freed, err := kept.Garbage(keep, g.older)
		if err == nil && !g.dry {
			freed, err = kept.Collect(ctx, keep, g.older)
		}
		g.found.Images, g.found.FreedBytes = freed.Images, freed.Bytes
		if err != nil {
			return err
		}
		g.found.Gone = append(g.found.Gone, ids...)
		return g.caches(kept, ids)
	})
	if errors.Is(err, images.ErrInUse) {
		return fmt.Errorf("%s: %w; try again when it has ended", imagesPath(g.dir), err)
	}
	return err
}

func (g *garbage) caches(kept *images.Store, gone []string) error {
	list, err := kept.List()
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, e := range list {
		has[e.ID] = !slices.Contains(gone, e.ID)
	}
	t, err := build.Trim(filepath.Join(g.dir, "cache"), g.before, func(id string) bool { return has[id] }, g.dry)
	g.found.Objects, g.found.Records = len(t.Objects), t.Records
	g.found.FreedBytes += t.Bytes
	g.found.Gone = append(g.found.Gone, t.Objects...)
	return err
}

// files removes logs and consoles: first from the database, so that whatever it
// names is there.
func (g *garbage) files(ctx context.Context) error {
	named := map[string]bool{}
	if g.db != nil {
		old, err := g.db.OldFiles(ctx, g.before)
		if err == nil && !g.dry {
			err = g.db.ForgetFiles(ctx, g.before)
		}
		if err != nil {
			return err
		}
		all, err := g.db.Artifacts(ctx)
		if err != nil {
			return err
		}
		for _, name := range slices.Concat(all.Logs, all.Consoles) {
			named[keptPath(g.dir, name)] = true
		}
		for _, f := range all.Kept {
			named[keptPath(g.dir, f.Path)] = true
		}
		for _, name := range old {
			named[keptPath(g.dir, name)] = false
		}
	}
	for _, sub := range []string{"", handFiles} {
		logs, err := g.folder(filepath.Join(g.dir, "logs", sub), named)
		g.found.Logs += logs
		if err != nil {
			return err
		}
		consoles, err := g.folder(filepath.Join(g.dir, "consoles", sub), named)
		g.found.Consoles += consoles
		if err != nil {
			return err
		}
	}
	return g.artifacts(named)
}

// artifacts removes the old folders in which the database names nothing.
func (g *garbage) artifacts(named map[string]bool) error {
	needed := map[string]bool{} // folders
	for path, yes := range named {
		if dir := filepath.Dir(filepath.Dir(path)); yes {
			needed[dir] = true
		}
	}
	top := filepath.Join(g.dir, "artifacts")
	for _, dir := range []string{top, filepath.Join(top, handFiles)} {
		list, err := agedFolders(dir)
		if err != nil {
			return err
		}
		for _, f := range list {
			if needed[f.path] || f.used.After(g.before) || f.path == filepath.Join(top, handFiles) {
				continue
			}
			if !g.dry {
				if err := os.RemoveAll(f.path); err != nil {
					return err
				}
			}
			g.found.Artifacts++
			g.found.FreedBytes += f.size
			g.found.Gone = append(g.found.Gone, f.path)
		}
	}
	return nil
}

// folder removes the old files of a folder that the database does not name, and
// counts them.
func (g *garbage) folder(dir string, named map[string]bool) (n int, err error) {
	list, err := agedFiles(dir)
	if err != nil {
		return 0, err
	}
	for _, f := range list {
		ours := strings.HasSuffix(f.path, ".log") || strings.HasSuffix(f.path, ".zst")
		if !ours || named[f.path] || f.used.After(g.before) {
			continue
		}
		gone := !held(f.path)
		if gone && !g.dry {
			if gone, err = f.remove(); err != nil {
				return n, err
			}
		}
		if gone {
			n++
			g.found.FreedBytes += f.size
			g.found.Gone = append(g.found.Gone, f.path)
		}
	}
	return n, nil
}
