package orchestrator

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"sync"
)

// Artifact is a file that a case left for people to look at: a capture, a plot.
type Artifact struct {
	Run       string
	Case      string // "suite/case"
	Name      string // [a-z0-9_.-]+, unique in the case
	MediaType string // such as image/svg+xml, as the case gave it
	Size      int64  // bytes
	SHA256    string // hex
	Path      string // below the state directory
}

// Limits of what the cases of a run keep. A guest decides how long a capture gets.
const (
	maxArtifact  = 64 << 20  // bytes of a file
	maxArtifacts = 256 << 20 // bytes of all files of a run
	maxFiles     = 200       // of a run
	maxNameBytes = 100
)

// A case that passed has plots worth a look and captures that nobody opens: of such
// files those are kept that are small. With a hundred runs a day and gc after two weeks
// they take 6 GB at the most.
const (
	smallArtifact  = 256 << 10 // bytes of a file
	smallArtifacts = 4 << 20   // bytes of all such files of a run
)

var artifactName = regexp.MustCompile(`^[a-z0-9_-][a-z0-9_.-]*$`)

// checkArtifact says what is wrong with a name or a media type; nil: nothing.
func checkArtifact(name, mediaType string) error {
	if len(name) > maxNameBytes || !artifactName.MatchString(name) {
		return fmt.Errorf("artifact %.100q: want a name of [a-z0-9_.-], at most %d bytes and no dot in front", name, maxNameBytes)
	}
	if _, _, err := mime.ParseMediaType(mediaType); err != nil || len(mediaType) > maxNameBytes {
		return fmt.Errorf("artifact %s: %.100q is no media type such as image/svg+xml", name, mediaType)
	}
	return nil
}

// artifactFile is an artifact that is being written, under a name of its own until it is
// closed.
type artifactFile struct {
	Artifact
	of     *Keeper
	path   string // of the whole file
	mu     sync.Mutex
	f      *os.File
	sum    hash.Hash
	closed bool
	err    error // why it is not kept
}

func createArtifact(of *Keeper, dir string, a Artifact) (*artifactFile, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("artifact %s: %w", a.Name, err)
	}
	w := &artifactFile{Artifact: a, of: of, path: filepath.Join(dir, a.Name), sum: sha256.New()}
	f, err := os.OpenFile(w.part(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("artifact %s: %w", a.Name, err)
	}
	w.f = f
	return w, nil
}

// part is its path while it is written: no artifact's name begins with a dot.
func (w *artifactFile) part() string {
	return filepath.Join(filepath.Dir(w.path), "."+w.Name)
}

// Write gives the file up when it gets too long.
func (w *artifactFile) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch n := int64(len(p)); {
	case w.err != nil:
		return 0, w.err
	case w.closed:
		return 0, fmt.Errorf("artifact %s: written to after its end", w.Name)
	case w.Size+n > maxArtifact:
		return 0, w.drop(fmt.Errorf("artifact %s: not kept, it has more than %d MiB; keep less of it", w.Name, maxArtifact>>20))
	case !w.of.take(n):
		return 0, w.drop(fmt.Errorf("artifact %s: not kept, those of this run have more than %d MiB; keep less", w.Name, maxArtifacts>>20))
	}
	w.Size += int64(len(p))
	n, err := w.f.Write(p)
	w.sum.Write(p[:n])
	if err != nil {
		return n, w.drop(fmt.Errorf("artifact %s: not kept: %w", w.Name, err))
	}
	return n, nil
}

// Close gives the file its name. It returns why the file is not kept.
func (w *artifactFile) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.closed {
		return w.err
	}
	w.closed, w.SHA256 = true, hex.EncodeToString(w.sum.Sum(nil))
	err := w.f.Close()
	if err == nil {
		err = os.Rename(w.part(), w.path)
	}
	if err != nil {
		return w.drop(fmt.Errorf("artifact %s: not kept: %w", w.Name, err))
	}
	return nil
}

// Discard gives the file up, whatever was written.
func (w *artifactFile) Discard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(fmt.Errorf("artifact %s: not kept, its case gave it up", w.Name))
}

// drop removes the file for a reason, of which the first stays, and returns that. The
// caller holds the lock.
func (w *artifactFile) drop(why error) error {
	if w.err != nil {
		return w.err
	}
	w.f.Close() // again, when it is closed: no harm
	w.err = errors.Join(why, removed(w.path), removed(w.part()))
	w.of.give(w.Size)
	return w.err
}

// removed removes a file that may be there.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
