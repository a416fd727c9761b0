package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners/console"
)

// fsckKept checks that the logs, consoles and artifacts which the database names are there
// and whole, and that somebody names those that are there.
func fsckKept(ctx context.Context, dir string, repair bool) ([]problem, error) {
	db, err := store.Share(ctx, dbPath(dir))
	if err != nil {
		return nil, nil // there is none, or fsckDatabase has told what is wrong with it
	}
	defer db.Close()
	kept, err := db.Artifacts(ctx)
	if err != nil {
		return nil, nil // as above
	}
	var out []problem
	known := map[string]bool{}
	for _, name := range kept.Logs {
		known[name] = true
		if _, err := os.Stat(keptPath(dir, name)); err != nil {
			out = append(out, problem{Check: "log", What: fmt.Sprintf("a build names it: %v", err)})
		}
	}
	for _, name := range kept.Consoles {
		known[name] = true
		if _, err := console.Load(keptPath(dir, name), maxConsole); err != nil {
			out = append(out, problem{Check: "console", What: fmt.Sprintf("a run names it: %v", err)})
		}
	}
	for _, a := range kept.Kept {
		known[filepath.Dir(filepath.Dir(a.Path))] = true
		if err := whole(ctx, keptPath(dir, a.Path), a); err != nil {
			out = append(out, problem{Check: "artifact", What: fmt.Sprintf("run %s names it: %v", a.Run, err)})
		}
	}
	orphans, err := orphansOf(ctx, db, dir, known)
	if err != nil {
		return nil, err
	}
	for _, path := range orphans {
		p, err := leftOver(path, "belongs to nothing that was recorded", repair)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// orphansOf lists the kept files that neither the database names nor a try of a
// recorded build wrote.
func orphansOf(ctx context.Context, db *store.DB, dir string, known map[string]bool) ([]string, error) {
	var out []string
	for _, folder := range []string{"logs", "consoles", "artifacts"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			name := filepath.Join(folder, e.Name())
			if known[name] || e.IsDir() && e.Name() == handFiles {
				continue
			}
			tried, err := isTry(ctx, db, e.Name())
			if err != nil {
				return nil, err
			}
			if !tried {
				out = append(out, filepath.Join(dir, name))
			}
		}
	}
	return out, nil
}

// tryLog is the log of a job that made an image: of an earlier try of a build,
// whose last one is named, or of an image that was made again for a run.
var tryLog = regexp.MustCompile(`^(?:restore-run|(?:restore-)?(?:clean-)?build)-([0-9a-f]{12,})-.*\.log$`)

// isTry says whether a log is of a build that is recorded.
func isTry(ctx context.Context, db *store.DB, name string) (bool, error) {
	m := tryLog.FindStringSubmatch(name)
	if m == nil {
		return false, nil
	}
	_, err := db.Build(ctx, m[1])
	switch {
	case isUnknown(err):
		return errors.Is(err, store.ErrAmbiguous), nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// whole says how a file differs from the artifact that was recorded.
func whole(ctx context.Context, path string, a orchestrator.Artifact) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, a.Size+1))
	switch {
	case err != nil:
		return err
	case n != a.Size:
		return fmt.Errorf("%s does not have its %d bytes", path, a.Size)
	case hex.EncodeToString(sum.Sum(nil)) != a.SHA256:
		return fmt.Errorf("%s is not what was kept: its SHA-256 differs", path)
	}
	return ctx.Err()
}
