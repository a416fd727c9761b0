package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// Cells lists every point of the matrix, sorted by upstream, target and machine.
// No two have the same three names.
func (f *File) Cells() []Cell {
	var cells []Cell
	for _, e := range f.Matrix {
		cells = append(cells, e.cells()...)
	}
	slices.SortFunc(cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Machine, b.Machine))
	})
	return cells
}

// cells lists the points of one entry, in the order of its lists.
func (e Entry) cells() []Cell {
	var cells []Cell
	for _, u := range e.Upstreams {
		for _, t := range e.Targets {
			for _, m := range e.Machines {
				cells = append(cells, Cell{u, t, m, slices.Clone(e.Layers)})
			}
		}
	}
	return cells
}

// Digest is the hex SHA-256 of what the file means: comments, layout, the order
// of names, defaults left out or written, the path, and how cells are spread
// over entries of the matrix make no difference.
func (f *File) Digest() string {
	schedules := maps.Clone(f.Schedules)
	for name, s := range schedules {
		s.Upstreams = slices.Sorted(slices.Values(s.Upstreams))
		schedules[name] = s
	}
	// JSON sorts the keys of maps.
	data, err := json.Marshal([]any{f.Upstreams, f.Targets, f.Machines, f.Layers, f.Cells(), schedules, f.Notify})
	if err != nil {
		// Only a layer that is none can do it, and File promises that there is none.
		panic(fmt.Sprintf("pipeline: digest of an invalid file: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// defaultTimeout is how long a run may take of a layer that does not say.
const defaultTimeout = 10 * time.Minute

// Timeout is how long a run in a layer may take, whether the file lists the layer or
// not: nothing runs without a limit.
func (f *File) Timeout(layer suites.Layer) time.Duration {
	return cmp.Or(f.Layers[layer].Timeout, defaultTimeout)
}

// Remote is what git is told to fetch from. A relative path in Git is resolved
// against the state directory; a URL, host:path or absolute path is taken as it
// is.
func (u Upstream) Remote(stateDir string) string {
	if u.GitHub != "" {
		return "https://github.com/" + u.GitHub + ".git"
	}
	// git(1) takes a colon before the first slash as the end of a host's name.
	first, _, _ := strings.Cut(u.Git, "/")
	if filepath.IsAbs(u.Git) || strings.Contains(first, ":") {
		return u.Git
	}
	return filepath.Join(stateDir, u.Git)
}
