package orchestrator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/suites"
)

// Keeper takes the artifacts of the cases of one run. While the run is under way they
// are in its scratch folder, which whoever owns the state directory next removes; Place
// brings what is worth keeping to where it stays, and Close removes the rest.
type Keeper struct {
	dir string
	all bool

	mu    sync.Mutex
	bytes int64 // written and not given up
	small int64 // bytes that are kept of cases that passed
	files int   // that were begun
	kept  []Artifact
}

// NewKeeper makes a keeper whose files in flight are in dir, a folder of its own on
// the state directory's file system. all says that whatever a case has kept is worth
// it; else only small files of cases that did not go wrong are.
func NewKeeper(dir string, all bool) *Keeper { return &Keeper{dir: dir, all: all} }

// take counts n bytes more, if there is room.
func (k *Keeper) take(n int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bytes+n > maxArtifacts {
		return false
	}
	k.bytes += n
	return true
}

// give takes n bytes back.
func (k *Keeper) give(n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bytes -= n
}

// caseFiles are the artifacts of a case under way.
type caseFiles struct {
	of    *Keeper
	name  string // "suite/case"
	dir   string
	mu    sync.Mutex
	files []*artifactFile
	ended bool
}

// begin prepares for the files of a case.
func (k *Keeper) begin(name string) *caseFiles {
	_, folder, _ := strings.Cut(name, "/")
	return &caseFiles{of: k, name: name, dir: filepath.Join(k.dir, folder)}
}

// open begins a file: suites.T.Keep of the case.
func (c *caseFiles) open(name, mediaType string) (io.WriteCloser, error) {
	if err := errors.Join(checkArtifact(filepath.Base(c.dir), mediaType), checkArtifact(name, mediaType)); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return nil, fmt.Errorf("artifact %s: case %s is over", name, c.name)
	case slices.ContainsFunc(c.files, func(f *artifactFile) bool { return f.Name == name }):
		return nil, fmt.Errorf("artifact %s: case %s has one of this name", name, c.name)
	case !c.of.another():
		return nil, fmt.Errorf("artifact %s: this run has %d already; keep fewer", name, maxFiles)
	}
	f, err := createArtifact(c.of, c.dir, Artifact{Case: c.name, Name: name, MediaType: mediaType})
	if err != nil {
		return nil, err
	}
	c.files = append(c.files, f)
	return f, nil
}

// another counts a file, if there may be one more.
func (k *Keeper) another() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files >= maxFiles {
		return false
	}
	k.files++
	return true
}

// end decides what stays of a case. It returns lines for the case's output about what
// the case wanted kept and is not.
func (c *caseFiles) end(wrong bool) (notes string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, f := range c.files {
		f.mu.Lock()
		if !f.closed {
			f.drop(fmt.Errorf("artifact %s: not kept, its case did not close it", f.Name))
		}
		switch {
		case f.err != nil:
			notes += f.err.Error() + "\n"
		case wrong || c.of.worth(f.Size):
			if err := onDisk(f.path); err != nil {
				notes += f.drop(fmt.Errorf("artifact %s: not kept: %w", f.Name, err)).Error() + "\n"
				break
			}
			c.of.mu.Lock()
			c.of.kept = append(c.of.kept, f.Artifact)
			c.of.mu.Unlock()
		default:
			f.drop(errors.New("too much of a case that passed"))
		}
		f.mu.Unlock()
	}
	os.Remove(c.dir) // when nothing is left in it
	return notes
}

// worth says whether a file of a case that did not go wrong is kept.
func (k *Keeper) worth(size int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all {
		return true
	}
	if size > smallArtifact || k.small+size > smallArtifacts {
		return false
	}
	k.small += size
	return true
}

// wentWrong says whether a result is one to look into.
func wentWrong(s suites.Status) bool { return s == suites.Failed || s == suites.Broken }

// Place moves what was kept to the folder that name says below root, and lists it, as
// artifacts of a run. It is on disk then. Nothing is made when there is nothing.
func (k *Keeper) Place(root, name, run string) ([]Artifact, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) == 0 {
		return nil, nil
	}
	folder := filepath.Join(root, name)
	parent := filepath.Dir(folder)
	if err := errors.Join(os.MkdirAll(parent, 0o755), os.RemoveAll(folder)); err != nil {
		return nil, fmt.Errorf("keep artifacts: %w", err)
	}
	dirs := []string{k.dir}
	for i := range k.kept {
		a := &k.kept[i]
		_, short, _ := strings.Cut(a.Case, "/")
		a.Run, a.Path = run, filepath.Join(name, short, a.Name)
		dirs = append(dirs, filepath.Join(k.dir, short))
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if err := onDisk(dir); err != nil {
			return nil, fmt.Errorf("keep artifacts: %w", err)
		}
	}
	if err := os.Rename(k.dir, folder); err != nil {
		return nil, fmt.Errorf("keep artifacts: %w", err)
	}
	return k.kept, onDisk(parent)
}

// Kept is how many artifacts there are to place.
func (k *Keeper) Kept() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.kept)
}

// Close removes what was not placed.
func (k *Keeper) Close() error { return os.RemoveAll(k.dir) }

// onDisk waits until a file or a folder is on disk.
func onDisk(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
