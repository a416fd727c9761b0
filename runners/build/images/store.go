// Package images is the store of images, content-addressed, compressed and
// verified on every read.
package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Store keeps images in a folder, content-addressed: blobs/ holds one compressed
// file per distinct artifact, images/ one manifest per image, attached/ what lies
// beside an image without being part of it, tmp/ what is being written. A file
// enters another folder by rename or link, after its bytes are on disk, and a
// manifest only after its blobs: whatever instant the process dies at, every
// image in the store is whole.
//
// A Store is safe for concurrent use. One process at a time may have the folder
// open; whoever owns the state directory does.
type Store struct {
	dir  string
	user *os.File // the folder, locked as long as the store is open: somebody uses it

	mu    sync.Mutex      // held over every removal
	pins  map[string]int  // digests that a Put, Open or Check relies on
	late  map[string]bool // pinned digests that a sweep would have removed
	temps map[string]bool // base names of the files in tmp/ that are being written
}

// Artifact is one blob on its way into the store. Write is called once to learn
// the digest and, when the store lacks the blob, once more to keep it; it must
// write the same bytes both times.
type Artifact struct {
	Role  Role
	Write func(w io.Writer) error
}

// FileArtifact is the content of a file that does not change meanwhile.
func FileArtifact(role Role, path string) Artifact {
	return Artifact{Role: role, Write: func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}}
}

// BytesArtifact is given content.
func BytesArtifact(role Role, content []byte) Artifact {
	return Artifact{Role: role, Write: func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}}
}

// ErrNoImage says that the store does not have an image.
var ErrNoImage = runners.ErrNoImage

// CorruptError says that an image's file in the store is not what was put there.
type CorruptError struct {
	Image   string // id
	Blob    string // digest of the blob; empty: the manifest
	Role    Role   // of the blob
	Beside  string // name of an attachment; empty: the image itself
	Path    string
	Problem string
}

func (e *CorruptError) Error() string {
	what := "its manifest"
	switch {
	case e.Beside != "":
		return fmt.Sprintf("image %s: its attachment %s is %s; run `headwatch fsck --repair` to drop that", e.Image, e.Beside, e.Problem)
	case e.Blob != "":
		what = fmt.Sprintf("blob %s (%s)", e.Blob, e.Role)
	}
	return fmt.Sprintf("image %s: %s is %s; run `headwatch fsck --repair` to drop it; it is built again when needed", e.Image, what, e.Problem)
}

// Open opens the store in dir and makes it when there is none. It removes
// what an earlier process left half-written, so only the owner of the state
// directory may call it; a process beside the owner calls Share.
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	// A command that began beside an earlier owner may be in the middle of a put:
	// then what lies there is not left over, and the next owner cleans up.
	alone := syscall.Flock(int(s.user.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	if alone {
		err = s.clean()
	}
	return s, errors.Join(err, s.use())
}

// Share opens the store in dir beside its owner: images can be read and put,
// and nothing is cleaned up.
func Share(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	return s, s.use()
}

// Close says that the store is not used any more.
func (s *Store) Close() error { return s.user.Close() }

// ErrInUse says that somebody else uses the folder of the store.
var ErrInUse = errors.New("images are in use by another command")

// Alone calls f while no other process uses the store, or returns ErrInUse; who
// comes meanwhile waits. What f removes, nobody else is reading.
func (s *Store) Alone(f func() error) (err error) {
	if err := syscall.Flock(int(s.user.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		// The kernel may have dropped the shared lock in trying.
		return errors.Join(err, s.use())
	}
	defer func() { err = errors.Join(err, s.use()) }()
	return f()
}

// use says that somebody uses the folder.
func (s *Store) use() error {
	return s.fault("open image store", syscall.Flock(int(s.user.Fd()), syscall.LOCK_SH))
}

func open(dir string) (*Store, error) {
	s := &Store{dir: dir, pins: make(map[string]int), late: make(map[string]bool), temps: make(map[string]bool)}
	for _, d := range []string{s.path("blobs"), s.path("images"), s.path("attached"), s.path("tmp")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, s.fault("open image store", err)
		}
	}
	var err error
	if s.user, err = os.Open(dir); err != nil {
		return nil, s.fault("open image store", err)
	}
	return s, nil
}

// clean removes what a process that is gone left half-written.
func (s *Store) clean() error {
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return s.fault("open image store", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(s.path("tmp", e.Name())); err != nil {
			return s.fault("open image store", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A process that died between a blob and its manifest left an orphan.
	if _, _, err := s.sweep(nil); err != nil {
		return s.fault("open image store", err)
	}
	return nil
}

// Put stores an image: m describes it, parts are its blobs in order; m.Format
// and m.Blobs are set here. Blobs that the store has already are not written
// again. When Put fails the store is as it was before.
func (s *Store) Put(ctx context.Context, m Manifest, parts ...Artifact) (img runners.Image, err error) {
	m.Format, m.Blobs = manifestFormat, nil
	var fresh []string
	defer func() {
		s.unpin(m.Blobs)
		if err != nil {
			err = errors.Join(s.fault("store image", err), s.forget(fresh))
		}
	}()
	for _, part := range parts {
		digest, size, err := measure(ctx, part.Write)
		if err != nil {
			return runners.Image{}, err
		}
		b := Blob{Role: part.Role, Digest: digest, Size: size}
		m.Blobs = append(m.Blobs, b)
		s.pin(b)
		added, err := s.putBlob(ctx, b, part)
		if err != nil {
			return runners.Image{}, err
		}
		if added {
			fresh = append(fresh, digest)
		}
	}
	text, img, err := m.encode()
	if err != nil {
		return runners.Image{}, err
	}
	return img, s.putManifest(img.ID, text)
}

// putBlob stores a pinned blob and says whether the store lacked it.
func (s *Store) putBlob(ctx context.Context, b Blob, part Artifact) (bool, error) {
	path := s.blobPath(b.Digest)
	if _, err := os.Stat(path); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	err := s.create(path, func(w io.Writer) error {
		digest, size, err := writeBlob(ctx, w, part.Write)
		if err == nil && (digest != b.Digest || size != b.Size) {
			err = fmt.Errorf("%s changed while it was being stored", b.Role)
		}
		return err
	})
	return err == nil, err
}

// putManifest stores a manifest, or makes the one that is there young again.
func (s *Store) putManifest(id string, text []byte) error {
	path := s.manifestPath(id)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		now := time.Now()
		// A removal, here or by the store's owner, may have come in between.
		if err := os.Chtimes(path, now, now); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.create(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// create makes the file at path appear whole and on disk, or not at all.
func (s *Store) create(path string, write func(io.Writer) error) error {
	return s.place(path, write, os.Rename)
}

// place writes a file aside and, when its bytes are on disk, calls enter to give it
// the name path.
func (s *Store) place(path string, write func(io.Writer) error, enter func(from, to string) error) (err error) {
	f, err := s.temp()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
		s.mu.Lock()
		delete(s.temps, filepath.Base(f.Name()))
		s.mu.Unlock()
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := enter(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (s *Store) temp() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.CreateTemp(s.path("tmp"), "new-*")
	if err == nil {
		s.temps[filepath.Base(f.Name())] = true
	}
	return f, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// manifest reads and verifies an image's manifest. The error is ErrNoImage, a
// *CorruptError or one of reading.
func (s *Store) manifest(id string) (Manifest, error) {
	if _, err := hexOf(id); err != nil {
		return Manifest{}, err
	}
	path := s.manifestPath(id)
	corrupt := func(problem string) error {
		return &CorruptError{Image: id, Path: path, Problem: problem}
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("image %s: %w; it is built again when needed", id, ErrNoImage)
	}
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return Manifest{}, err
	}
	if sum := sha256.Sum256(text); digestString(sum[:]) != id {
		return Manifest{}, corrupt("of another digest")
	}
	m, err := parseManifest(text)
	if err != nil {
		return Manifest{}, corrupt("unusable (" + err.Error() + ")")
	}
	return m, nil
}

func (s *Store) pin(blobs ...Blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blobs {
		s.pins[b.Digest]++
	}
}

func (s *Store) unpin(blobs []Blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var late []Blob
	for _, b := range blobs {
		if s.pins[b.Digest]--; s.pins[b.Digest] > 0 {
			continue
		}
		delete(s.pins, b.Digest)
		if s.late[b.Digest] {
			delete(s.late, b.Digest)
			late = append(late, b)
		}
	}
	if late != nil {
		// A blob that cannot be removed stays an orphan, and Check reports it.
		_, _, _ = s.sweep(late)
	}
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// blobPath and manifestPath take digests that hexOf accepted.
func (s *Store) blobPath(digest string) string {
	return s.path("blobs", digest[len("sha256:"):]+".zst")
}

func (s *Store) manifestPath(id string) string {
	return s.path("images", id[len("sha256:"):]+".json")
}

// fault classes an error as the rig's and says what to do about a full disk.
func (s *Store) fault(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if known, ok := errors.AsType[*runners.InfraError](err); ok {
		return known
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) {
			return &runners.InfraError{Op: op, Err: err, Hint: "free space there and try again"}
		}
	}
	return &runners.InfraError{Op: op, Err: err}
}
