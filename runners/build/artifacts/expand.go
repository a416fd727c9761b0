package artifacts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

const (
	expandBuffer = 1 << 20
	holeSize     = 4 << 10 // bytes; runs of zeros this long are not written
)

// Expand unpacks a disk image, disk-test.img.zst or FreeBSD-….raw.xz, into the
// sparse file out, of at most limit bytes. out appears when it is whole and
// checked; until then the bytes are in out + ".part", which the next call
// overwrites. It returns a *DamagedError for an image that is not whole and a
// *runners.InfraError for what the rig cannot do.
func Expand(ctx context.Context, image, out string, limit int64) (size int64, err error) {
	defer func() { err = fault("expand "+image, err) }()
	p, err := openPacked(ctx, image)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if p.size > limit {
		return 0, &DamagedError{File: image, Problem: "holds more than it may"}
	}
	part := out + ".part"
	f, err := os.Create(part)
	if err != nil {
		return 0, err
	}
	size, err = writeSparse(f, &capped{p, limit})
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, out); err != nil {
		return 0, err
	}
	return size, syncDir(filepath.Dir(out))
}

func writeSparse(f *os.File, r io.Reader) (int64, error) {
	buf := make([]byte, expandBuffer)
	var size int64
	for {
		n, err := io.ReadFull(r, buf)
		if werr := writeBlocks(f, buf[:n], size); werr != nil {
			return size, werr
		}
		size += int64(n)
		switch {
		case errors.Is(err, io.EOF), err == io.ErrUnexpectedEOF:
			return size, errors.Join(f.Truncate(size), f.Sync())
		case err != nil:
			return size, err
		}
	}
}

// writeBlocks leaves zeros out.
func writeBlocks(f *os.File, b []byte, at int64) error {
	for len(b) > 0 {
		n := 0
		for n < len(b) && !allZero(b[n:min(n+holeSize, len(b))]) {
			n = min(n+holeSize, len(b))
		}
		if n > 0 {
			if _, err := f.WriteAt(b[:n], at); err != nil {
				return err
			}
		} else {
			n = min(holeSize, len(b))
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

var zeros [holeSize]byte

func allZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
