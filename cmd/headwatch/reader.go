package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

// reader puts the store's sums into the pages' types.
type reader struct{ *store.DB }

var _ web.Reader = reader{}

// Grid reads what is known of the commits on every target.
func (r reader) Grid(ctx context.Context, commits []string) ([]web.Point, error) {
	rows, err := r.DB.Grid(ctx, commits)
	if err != nil {
		return nil, err
	}
	points := make([]web.Point, len(rows))
	for i, row := range rows {
		points[i] = web.Point{Commit: row.Commit, Target: row.Target, Build: row.Build}
		for _, run := range row.Runs {
			points[i].Runs = append(points[i].Runs, web.RunTally{Run: run.Run, Counts: api.Counts(run.Counts), Boot: run.Boot})
		}
	}
	return points, nil
}

// Totals counts what the store holds.
func (r reader) Totals(ctx context.Context) (web.Totals, error) {
	n, err := r.DB.Counts(ctx, "")
	return web.Totals{Commits: n.Commits, Builds: n.Builds, Runs: n.Runs, Results: api.Counts(n.Results)}, err
}

// isUnknown tells an id that names nothing from a store that cannot be read.
func isUnknown(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrAmbiguous)
}

// maxConsole bounds what is unpacked of a kept console.
const maxConsole = 16 << 20

// keptConsole opens the console log of a finished run.
func keptConsole(dir string) web.KeptConsole {
	return func(_ context.Context, r orchestrator.Run) (io.ReadCloser, error) {
		if r.Console == "" {
			return nil, fs.ErrNotExist
		}
		s, err := console.Load(filepath.Join(dir, filepath.FromSlash(r.Console)), maxConsole)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(s.Bytes())), nil
	}
}

// keptArtifact opens a file that a case kept.
func keptArtifact(dir string) web.KeptArtifact {
	return func(_ context.Context, a orchestrator.Artifact) (io.ReadSeekCloser, error) {
		if !filepath.IsLocal(filepath.FromSlash(a.Path)) {
			return nil, fmt.Errorf("artifact %s: %s is not below the state directory", a.Name, a.Path)
		}
		return os.Open(keptPath(dir, a.Path))
	}
}
