package images

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/runners"
)

// Open verifies an image's blobs and lays them out in dir: kernel, initrd (its
// parts joined), disks and layouts. Files there are replaced. It returns a *CorruptError
// when a blob or the manifest is damaged, and ErrNoImage when the store lacks
// the image; then, as after any failure, no file of the image is left in dir.
func (s *Store) Open(ctx context.Context, id, dir string) (runners.Bootable, error) {
	m, err := s.acquire(id)
	if err != nil {
		return runners.Bootable{}, err
	}
	defer s.unpin(m.Blobs)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return runners.Bootable{}, s.fault("lay out image", err)
	}
	b := runners.Bootable{Image: m.image(id), Cmdline: m.Cmdline}
	for _, file := range []struct {
		role Role
		at   *string
	}{{RoleKernel, &b.Kernel}, {RoleInitrd, &b.Initrd}, {RoleDisk, &b.Disk}, {RoleMeta, &b.Meta}, {RoleStarter, &b.Starter}, {RoleLayouts, &b.Layouts}} {
		var parts []Blob
		for _, blob := range m.Blobs {
			if blob.Role == file.role {
				parts = append(parts, blob)
			}
		}
		if len(parts) == 0 {
			continue
		}
		*file.at = filepath.Join(dir, string(file.role))
		if err := s.join(ctx, id, parts, *file.at); err != nil {
			for _, path := range []string{b.Kernel, b.Initrd, b.Disk, b.Meta, b.Starter, b.Layouts} {
				if path != "" {
					os.Remove(path)
				}
			}
			return runners.Bootable{}, err
		}
	}
	return b, nil
}

// acquire reads a manifest and pins its blobs in one step, so that no removal
// comes between. The caller unpins them.
func (s *Store) acquire(id string) (Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.manifest(id)
	if err != nil {
		return Manifest{}, s.keepKind("open image", err)
	}
	for _, b := range m.Blobs {
		s.pins[b.Digest]++
	}
	return m, nil
}

// join writes the verified contents of blobs to the file at path, one after the
// other.
func (s *Store) join(ctx context.Context, id string, blobs []Blob, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return s.fault("lay out image", err)
	}
	for _, b := range blobs {
		if err = s.readInto(ctx, id, b, f); err != nil {
			break
		}
	}
	return s.keepKind("lay out image", errors.Join(err, f.Close()))
}

// readInto reads one blob of an image and turns damage into a *CorruptError.
func (s *Store) readInto(ctx context.Context, id string, b Blob, w io.Writer) error {
	path := s.blobPath(b.Digest)
	err := readBlob(ctx, path, b, w)
	if d, ok := errors.AsType[damage](err); ok {
		return &CorruptError{Image: id, Blob: b.Digest, Role: b.Role, Path: path, Problem: string(d)}
	}
	return err
}

// keepKind is fault for errors among which callers branch.
func (s *Store) keepKind(op string, err error) error {
	if c, ok := errors.AsType[*CorruptError](err); ok {
		return c
	}
	if errors.Is(err, ErrNoImage) {
		return err
	}
	return s.fault(op, err)
}
