package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNotAttached says that nothing of a name is attached to an image.
var ErrNotAttached = errors.New("not attached")

// maxAttachment bounds an attachment, in uncompressed bytes. A FreeBSD kernel's
// debug file has about a tenth of that.
const maxAttachment = 2 << 30

// attachmentName is what an attachment may be called: a file name of at most 64 bytes.
var attachmentName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// attachment is a file in attached/. It is packed like a blob, but belongs to one
// image and needs no manifest: its name says whose it is, its end that it is whole.
type attachment struct {
	image string // id
	name  string
	path  string
	size  int64 // bytes on disk
}

// Attach keeps the content of the file at path beside an image, under a name. It is
// no part of the image's identity: images that are equal share what was attached
// first, and attaching again changes nothing. The error is ErrNoImage when the
// store lacks the image. When Attach fails, nothing is attached.
func (s *Store) Attach(ctx context.Context, id, name, path string) error {
	to, err := s.attachedPath(id, name)
	if err == nil {
		_, err = s.Find(id)
	}
	if err != nil {
		return s.keepKind("attach to image", err)
	}
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	write := func(w io.Writer) error {
		_, size, err := writeBlob(ctx, w, FileArtifact("", path).Write)
		if err == nil && size > maxAttachment {
			err = fmt.Errorf("%s has %d bytes: at most %d can be attached", path, size, maxAttachment)
		}
		return err
	}
	return s.keepKind("attach to image", s.place(to, write, func(from, to string) error {
		return s.enterBeside(id, from, to)
	}))
}

// enterBeside links a file to its place unless there is one already. A removal of
// the image holds the lock, too: the file comes before it and goes with the image,
// or finds the image gone.
func (s *Store) enterBeside(id, from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.manifest(id); err != nil {
		return err
	}
	if err := os.Link(from, to); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Remove(from)
}

// Attached verifies what is attached to an image and writes it into dir as a file
// of its name, whose path it returns. The error is ErrNotAttached when there is
// nothing, ErrNoImage when the store lacks the image, and a *CorruptError when the
// attachment is damaged; after any failure no such file is left in dir.
func (s *Store) Attached(ctx context.Context, id, name, dir string) (string, error) {
	from, err := s.attachedPath(id, name)
	if err == nil {
		_, err = s.Find(id)
	}
	if err != nil {
		return "", s.keepKind("read attachment", err)
	}
	f, err := os.Open(from) // stays readable when somebody removes it meanwhile
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s of image %s: %w", name, id, ErrNotAttached)
	}
	if err != nil {
		return "", s.fault("read attachment", err)
	}
	defer f.Close()
	out := filepath.Join(dir, name)
	err = unpack(ctx, f, out)
	if d, ok := errors.AsType[damage](err); ok {
		err = &CorruptError{Image: id, Beside: name, Path: from, Problem: string(d)}
	}
	if err != nil {
		return "", s.keepKind("read attachment", err)
	}
	return out, nil
}

// unpack writes the verified content of an attachment to the file at path.
func unpack(ctx context.Context, f *os.File, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, w.Close()); err != nil {
			os.Remove(path)
		}
	}()
	return readAttachment(ctx, f, w)
}

func readAttachment(ctx context.Context, f *os.File, w io.Writer) error {
	_, size, err := readPacked(ctx, f, maxAttachment, w)
	if err == nil && size > maxAttachment {
		err = damage("too large")
	}
	return err
}

// verifyAttached reads an attachment. One that was removed meanwhile is sound.
func (s *Store) verifyAttached(ctx context.Context, a attachment) error {
	f, err := os.Open(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return readAttachment(ctx, f, io.Discard)
}

func (s *Store) attachedPath(id, name string) (string, error) {
	hex, err := hexOf(id)
	if err == nil && !attachmentName.MatchString(name) {
		err = fmt.Errorf("%q cannot be attached: expected a name of at most 64 of a-z, 0-9, dot, dash and underscore", name)
	}
	return s.path("attached", hex+"."+name+".zst"), err
}

// attachmentOfFile says whose a file in attached/ is by its name.
func attachmentOfFile(file string) (id, name string, ok bool) {
	hex, rest, _ := strings.Cut(file, ".")
	name, ok = strings.CutSuffix(rest, ".zst")
	return "sha256:" + hex, name, ok && isHexDigest(hex) && attachmentName.MatchString(name)
}

// attachments lists what is attached to images, and paths of files that are no
// attachments.
func (s *Store) attachments() (list []attachment, strange []string, err error) {
	files, err := os.ReadDir(s.path("attached"))
	for _, f := range files {
		a := attachment{path: s.path("attached", f.Name())}
		var ok bool
		if a.image, a.name, ok = attachmentOfFile(f.Name()); !ok {
			strange = append(strange, a.path)
			continue
		}
		if st, err := f.Info(); err == nil {
			a.size = st.Size()
		}
		list = append(list, a)
	}
	return list, strange, err
}

// unattached lists the attachments whose image is gone, or will be: one of those in
// going. An image with a damaged manifest is there.
func (s *Store) unattached(going ...string) ([]attachment, error) {
	list, _, err := s.attachments()
	gone := make(map[string]bool)
	for _, id := range going {
		gone[id] = true
	}
	var out []attachment
	for _, a := range list {
		if _, known := gone[a.image]; !known {
			_, err := os.Stat(s.manifestPath(a.image))
			gone[a.image] = errors.Is(err, fs.ErrNotExist)
		}
		if gone[a.image] {
			out = append(out, a)
		}
	}
	return out, err
}

// sweepAttached removes the attachments of images that are gone and says how many
// bytes that made free. The caller holds mu.
func (s *Store) sweepAttached() (size int64, err error) {
	list, err := s.unattached()
	for _, a := range list {
		if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return size, err
		}
		size += a.size
	}
	return size, err
}

func (s *Store) lookAtAttached(v *inventory) error {
	list, strange, err := s.attachments()
	if err != nil {
		return err
	}
	gone, err := s.unattached()
	for _, path := range strange {
		v.found = append(v.found, Finding{Problem: LeftOver, Path: path})
	}
	lost := make(map[string]bool)
	for _, a := range gone {
		lost[a.path] = true
		v.found = append(v.found, Finding{Problem: LeftOver, Path: a.path, Detail: "its image is gone"})
	}
	for _, a := range list {
		if !lost[a.path] {
			v.beside = append(v.beside, a)
		}
	}
	return err
}
