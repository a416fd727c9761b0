package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Problem is a kind of finding. The zero value is invalid.
type Problem string

// What Check finds.
const (
	DamagedImage Problem = "damaged image" // the manifest is not what was stored
	DamagedBlob  Problem = "damaged blob"  // a blob of an image is not what was stored, or missing
	OrphanBlob   Problem = "orphan blob"   // no image has it
	LeftOver     Problem = "left-over"     // a file that is none of the store's, or was attached to an image that is gone
	// DamagedBeside: an attachment is not what was stored. The image is whole.
	DamagedBeside Problem = "damaged attachment"
)

// Finding is one thing wrong with the store.
type Finding struct {
	Problem Problem
	Images  []string // ids of the images concerned
	Blob    string   // digest; empty for a manifest or a left-over
	Path    string
	Detail  string
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s", f.Problem, f.Path)
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	if len(f.Images) > 0 {
		s += "; images " + strings.Join(f.Images, ", ")
	}
	return s
}

// Check reads the whole store and returns what is wrong with it, one finding per
// file. An empty list means that every image would open. What other callers are
// writing meanwhile is left out.
func (s *Store) Check(ctx context.Context) ([]Finding, error) {
	inventory, err := s.inventory()
	if err != nil {
		return nil, s.fault("check images", err)
	}
	defer s.unpin(inventory.blobs)
	found := inventory.found
	for _, b := range inventory.blobs {
		path := s.blobPath(b.Digest)
		err := readBlob(ctx, path, b, io.Discard)
		if d, ok := errors.AsType[damage](err); ok {
			found = append(found, Finding{Problem: DamagedBlob, Images: inventory.images[b.Digest], Blob: b.Digest, Path: path, Detail: string(d)})
			continue
		}
		if err != nil {
			return found, s.fault("check images", err)
		}
	}
	for _, a := range inventory.beside {
		err := s.verifyAttached(ctx, a)
		if d, ok := errors.AsType[damage](err); ok {
			found = append(found, Finding{Problem: DamagedBeside, Images: []string{a.image}, Path: a.path, Detail: string(d)})
		} else if err != nil {
			return found, s.fault("check images", err)
		}
	}
	return found, nil
}

// inventory is what a store holds at one instant.
type inventory struct {
	blobs  []Blob              // of all images, each once, pinned
	images map[string][]string // blob digest → ids
	beside []attachment        // of images that are there
	found  []Finding           // what can be told without reading blobs
}

func (s *Store) inventory() (inventory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := inventory{images: make(map[string][]string)}
	list, _, err := s.entries()
	if err != nil {
		return v, err
	}
	for _, e := range list {
		for _, b := range e.Manifest.Blobs {
			if v.images[b.Digest] == nil {
				v.blobs = append(v.blobs, b)
			}
			if !slices.Contains(v.images[b.Digest], e.ID) {
				v.images[b.Digest] = append(v.images[b.Digest], e.ID)
			}
		}
	}
	for _, look := range []func(*inventory) error{s.lookAtImages, s.lookAtBlobs, s.lookAtAttached, s.lookAtTemps} {
		if err := look(&v); err != nil {
			return v, err
		}
	}
	for _, b := range v.blobs {
		s.pins[b.Digest]++
	}
	return v, nil
}

func (s *Store) lookAtImages(v *inventory) error {
	files, err := os.ReadDir(s.path("images"))
	for _, f := range files {
		path := s.path("images", f.Name())
		h, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok || !isHexDigest(h) {
			v.found = append(v.found, Finding{Problem: LeftOver, Path: path})
			continue
		}
		_, err := s.manifest("sha256:" + h)
		if c, ok := errors.AsType[*CorruptError](err); ok {
			v.found = append(v.found, Finding{Problem: DamagedImage, Images: []string{c.Image}, Path: path, Detail: c.Problem})
		} else if err != nil && !errors.Is(err, ErrNoImage) {
			return err
		}
	}
	return err
}

func (s *Store) lookAtBlobs(v *inventory) error {
	files, err := os.ReadDir(s.path("blobs"))
	for _, f := range files {
		path := s.path("blobs", f.Name())
		digest, ok := blobOfFile(f.Name())
		switch {
		case !ok:
			v.found = append(v.found, Finding{Problem: LeftOver, Path: path})
		case v.images[digest] == nil && s.pins[digest] == 0:
			v.found = append(v.found, Finding{Problem: OrphanBlob, Blob: digest, Path: path})
		}
	}
	return err
}

func (s *Store) lookAtTemps(v *inventory) error {
	files, err := os.ReadDir(s.path("tmp"))
	for _, f := range files {
		if !s.temps[f.Name()] {
			v.found = append(v.found, Finding{Problem: LeftOver, Path: s.path("tmp", f.Name())})
		}
	}
	return err
}

// Repair removes what the findings of Check name, and with a damaged blob or
// manifest the images that it made unusable; they are built again when needed.
func (s *Store) Repair(ctx context.Context, findings []Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range findings {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.repair(f); err != nil {
			return s.fault("repair images", err)
		}
	}
	_, _, err := s.sweep(nil)
	return s.fault("repair images", err)
}

func (s *Store) repair(f Finding) error {
	switch f.Problem {
	case OrphanBlob:
		return nil // Repair sweeps at its end
	case LeftOver, DamagedBeside:
		return os.RemoveAll(f.Path)
	case DamagedImage:
		if _, err := s.manifest(f.Images[0]); err == nil { // put again since Check
			return nil
		}
		return s.removeManifest(f.Images[0])
	case DamagedBlob:
		if s.pins[f.Blob] > 0 {
			return fmt.Errorf("blob %s is in use: check again when the build or boot has ended", f.Blob)
		}
	default:
		return fmt.Errorf("unknown finding %q", f.Problem)
	}
	// Images put since Check may have the blob too.
	list, _, err := s.entries()
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Manifest.has(f.Blob) {
			if err := s.removeManifest(e.ID); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
