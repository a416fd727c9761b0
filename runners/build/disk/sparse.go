package disk

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// holeSize is the unit in which zeros are left out. Most file systems cannot
// leave out less.
const holeSize = 4096

var zeros [holeSize]byte

// writeSparse writes b at an offset of a new file and leaves out its zeros.
func writeSparse(w io.WriterAt, b []byte, at int64) error {
	for len(b) > 0 {
		// One write for as many blocks in a row as hold something.
		n := 0
		for n < len(b) {
			block := b[n:min(n+holeSize, len(b))]
			if bytes.Equal(block, zeros[:len(block)]) {
				break
			}
			n += len(block)
		}
		if n > 0 {
			if _, err := w.WriteAt(b[:n], at); err != nil {
				return err
			}
		} else {
			n = min(holeSize, len(b))
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// copySparse copies all of r to an offset of a new file and leaves out zeros.
func copySparse(ctx context.Context, w io.WriterAt, r io.Reader, at int64) error {
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf)
		if werr := writeSparse(w, buf[:n], at); werr != nil {
			return werr
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}
