package images

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Entry is an image in the store.
type Entry struct {
	runners.Image
	Manifest Manifest
	Put      time.Time // when it was last put
}

// Freed says what a removal took away.
type Freed struct {
	Images int
	Blobs  int
	Bytes  int64 // on disk, with what was attached
}

// List returns the images of the store in the order of their ids. Images with a
// damaged manifest are left out; Check reports them.
func (s *Store) List() ([]Entry, error) {
	entries, _, err := s.entries()
	return entries, s.fault("list images", err)
}

// entries reads every manifest. whole is false when one of them is damaged: then
// nobody knows which blobs it refers to.
func (s *Store) entries() (list []Entry, whole bool, err error) {
	files, err := os.ReadDir(s.path("images"))
	if err != nil {
		return nil, false, err
	}
	whole = true
	for _, f := range files {
		h, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok || !isHexDigest(h) {
			continue
		}
		m, err := s.manifest("sha256:" + h)
		if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
			whole = false
			continue
		}
		if errors.Is(err, ErrNoImage) { // removed since the folder was read
			continue
		}
		if err != nil {
			return nil, false, err
		}
		e := Entry{Image: m.image("sha256:" + h), Manifest: m}
		if st, err := f.Info(); err == nil {
			e.Put = st.ModTime()
		}
		list = append(list, e)
	}
	return list, whole, nil
}

// Has tells whether the store has an image. That its blobs are whole is seen when
// it is opened.
func (s *Store) Has(id string) (bool, error) {
	_, err := s.Find(id)
	if errors.Is(err, ErrNoImage) {
		return false, nil
	}
	return err == nil, err
}

// Find describes an image; ErrNoImage when the store lacks it.
func (s *Store) Find(id string) (runners.Image, error) {
	m, err := s.manifest(id)
	if err != nil {
		return runners.Image{}, err
	}
	return m.image(id), nil
}

// Drop removes an image with what is attached to it, and those of its blobs that no
// other image has. The error wraps ErrNoImage when the store lacks it.
func (s *Store) Drop(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.manifest(id)
	if _, corrupt := errors.AsType[*CorruptError](err); err != nil && !corrupt {
		return s.keepKind("drop image", err)
	}
	if err := s.removeManifest(id); err != nil {
		return s.fault("drop image", err)
	}
	// A damaged manifest does not say which blobs to look at: all of them.
	_, _, err = s.sweep(m.Blobs)
	return s.fault("drop image", err)
}

// Garbage says what Collect would remove: the ids of images, and how much that is.
func (s *Store) Garbage(keep map[string]bool, minAge time.Duration) (ids []string, f Freed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, whole, err := s.entries()
	if err != nil {
		return nil, f, s.fault("collect images", err)
	}
	limit := time.Now().Add(-minAge)
	var stay []Entry
	for _, e := range list {
		if e.collectable(keep, limit) {
			ids = append(ids, e.ID)
		} else {
			stay = append(stay, e)
		}
	}
	f.Images = len(ids)
	beside, err := s.unattached(ids...)
	if err != nil {
		return nil, f, s.fault("collect images", err)
	}
	for _, a := range beside {
		f.Bytes += a.size
	}
	if !whole {
		return ids, f, nil
	}
	blobs, err := s.orphans(stay)
	for _, b := range blobs {
		f.Blobs++
		f.Bytes += b.size
	}
	return ids, f, s.fault("collect images", err)
}

// collectable says whether an image that was put before limit may go.
func (e Entry) collectable(keep map[string]bool, limit time.Time) bool {
	return !keep[e.ID] && !e.Put.After(limit)
}

// Collect removes every image that is not in keep and was last put at least
// minAge ago, with what is attached to it, and every blob that no image has. An image is stored before the
// build that it belongs to, so minAge must be longer than it takes to compute
// keep and to store a build.
func (s *Store) Collect(ctx context.Context, keep map[string]bool, minAge time.Duration) (Freed, error) {
	var freed Freed
	s.mu.Lock()
	defer s.mu.Unlock()
	list, _, err := s.entries()
	if err != nil {
		return freed, s.fault("collect images", err)
	}
	limit := time.Now().Add(-minAge)
	for _, e := range list {
		if !e.collectable(keep, limit) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		if err := s.removeManifest(e.ID); err != nil {
			return freed, s.fault("collect images", err)
		}
		freed.Images++
	}
	freed.Blobs, freed.Bytes, err = s.sweep(nil)
	return freed, s.fault("collect images", err)
}

// removeManifest takes an image away for good: a crash must not bring back a
// manifest whose blobs are gone.
func (s *Store) removeManifest(id string) error {
	if err := os.Remove(s.manifestPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(s.path("images"))
}

// forget removes those of the blobs that nothing refers to, after a failed Put.
func (s *Store) forget(digests []string) error {
	if len(digests) == 0 {
		return nil
	}
	blobs := make([]Blob, len(digests))
	for i, d := range digests {
		blobs[i].Digest = d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.sweep(blobs)
	return s.fault("store image", err)
}

// sweep removes those of the blobs (nil: of all blobs) that no image refers to
// and nobody works with; what somebody does work with goes when they are done.
// Beside a damaged manifest it removes no blobs. What was attached to images that
// are gone goes in any case; size counts it, count does not. The caller holds mu.
func (s *Store) sweep(blobs []Blob) (count int, size int64, err error) {
	if size, err = s.sweepAttached(); err != nil {
		return 0, size, err
	}
	list, whole, err := s.entries()
	if err != nil || !whole {
		return 0, size, err
	}
	only := make(map[string]bool, len(blobs))
	for _, b := range blobs {
		only[b.Digest] = true
	}
	orphans, err := s.orphans(list)
	if err != nil {
		return 0, size, err
	}
	for _, o := range orphans {
		if blobs != nil && !only[o.digest] {
			continue
		}
		if s.pins[o.digest] > 0 {
			s.late[o.digest] = true // its last user removes it
			continue
		}
		if err := os.Remove(s.blobPath(o.digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return count, size, err
		}
		size += o.size
		count++
	}
	return count, size, nil
}

// orphan is a blob that no image refers to.
type orphan struct {
	digest string
	size   int64 // bytes on disk
}

// orphans lists the blobs that none of the images has.
func (s *Store) orphans(list []Entry) ([]orphan, error) {
	used := make(map[string]bool)
	for _, e := range list {
		for _, b := range e.Manifest.Blobs {
			used[b.Digest] = true
		}
	}
	files, err := os.ReadDir(s.path("blobs"))
	if err != nil {
		return nil, err
	}
	var out []orphan
	for _, f := range files {
		digest, ok := blobOfFile(f.Name())
		if !ok || used[digest] {
			continue
		}
		o := orphan{digest: digest}
		if st, err := f.Info(); err == nil {
			o.size = st.Size()
		}
		out = append(out, o)
	}
	return out, nil
}

// blobOfFile is the digest of the blob that a file in blobs/ holds by its name.
func blobOfFile(name string) (string, bool) {
	h, ok := strings.CutSuffix(name, ".zst")
	return "sha256:" + h, ok && isHexDigest(h)
}
