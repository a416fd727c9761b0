package artifacts

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
)

const (
	maxMetaEntries = 10_000    // in the tar, whatever they are
	maxResults     = 64        // files
	maxResult      = 128 << 20 // bytes of one; a report of all of FreeBSD's tests has some 10 MB
	maxEnd         = 64 << 10  // bytes of the end marker
)

var (
	resultLine  = regexp.MustCompile(`^([0-9a-f]{64}) [ *]?([A-Za-z0-9][A-Za-z0-9._-]*)$`)
	errMetaTar  = errors.New("the tar on the meta disk is damaged")
	errMetaSize = errors.New("the guest wrote more than it may")
)

// ReadResults reads what the guest wrote back to its meta disk into files of the
// folder dir, and returns their names: kyua.status, test-report.txt and
// test-report.xml for tests that ran, and whatever scripts left in /meta/results.
//
// It returns an error that wraps ErrNoResults when the guest did not finish:
// it never ran, it crashed, or the disk was too small for what it wrote. Of
// results it returns all or none. The guest is not trusted; its disk must no
// longer be in use.
func ReadResults(ctx context.Context, disk string, marker Marker, dir string) (names []string, err error) {
	defer func() {
		if err != nil && !errors.Is(err, ErrNoResults) {
			err = fault("read meta disk "+disk, err)
		}
	}()
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r := reading{root: root, sums: make(map[string]string)}
	defer func() {
		if err != nil {
			for name := range r.sums {
				err = errors.Join(err, root.Remove(name))
			}
		}
	}()
	src := &source{ctx: ctx, f: f}
	if err := r.archive(src); err != nil {
		var host *fs.PathError
		if src.err != nil || errors.As(err, &host) {
			return nil, err // ours, not the guest's
		}
		return nil, fmt.Errorf("%w: %w", ErrNoResults, err)
	}
	if names, err = r.complete(marker); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoResults, err)
	}
	return names, nil
}

// reading is what was found on a disk so far.
type reading struct {
	root *os.Root
	sums map[string]string // hex SHA-256 of the files in root, by name
	end  []byte
}

func (r *reading) archive(src io.Reader) error {
	a := tar.NewReader(src)
	for range maxMetaEntries {
		h, err := a.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errMetaTar, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		switch dir, name := path.Split(path.Clean(h.Name)); {
		case dir == "" && name == endName:
			r.end, err = io.ReadAll(io.LimitReader(a, maxEnd))
		case dir == "results/" && namePattern.MatchString(name):
			err = r.keep(h, name, a)
		}
		if err != nil {
			return err
		}
	}
	return errMetaSize
}

// keep writes one result. The first of a name counts: what follows the end of a
// tar that was written over a longer one is not reached.
func (r *reading) keep(h *tar.Header, name string, content io.Reader) (err error) {
	if _, ok := r.sums[name]; ok {
		return fmt.Errorf("%w: %s is in it twice", errMetaTar, name)
	}
	if h.Size > maxResult || len(r.sums) == maxResults {
		return fmt.Errorf("%w: %s, %d bytes", errMetaSize, name, h.Size)
	}
	f, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	r.sums[name] = ""
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), content)
	r.sums[name] = hex.EncodeToString(sum.Sum(nil))
	return errors.Join(err, f.Close())
}

// complete compares with the end marker. Files that it does not name came after
// it was written, or from elsewhere.
func (r *reading) complete(marker Marker) ([]string, error) {
	if r.end == nil {
		return nil, errors.New("no end marker: run.sh was not run to its end")
	}
	lines := strings.Split(strings.TrimSuffix(string(bytes.TrimRight(r.end, "\x00")), "\n"), "\n")
	if lines[0] != "headwatch "+string(marker) {
		return nil, fmt.Errorf("the end marker says %.60q: it is of another run", lines[0])
	}
	var names []string
	for _, line := range lines[1:] {
		m := resultLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("the end marker says %.120q: want a digest and a name", line)
		}
		if sum, ok := r.sums[m[2]]; !ok || sum != m[1] {
			return nil, fmt.Errorf("%s is missing or is not what the guest wrote", m[2])
		}
		names = append(names, m[2])
	}
	if len(names) != len(r.sums) {
		return nil, errors.New("results that the end marker does not name")
	}
	return names, nil
}
