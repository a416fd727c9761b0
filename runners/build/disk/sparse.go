package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

// holeSize is the unit in which zeros are left out. Most file systems cannot
// leave out less.
const holeSize = 4096

var zeros [holeSize]byte

// sparse writes a new file and leaves out zeros. sum learns of every block that
// is written, and where, so it does not depend on what could be left out.
type sparse struct {
	w   io.WriterAt
	sum hash.Hash
}

// write writes b at an offset, a multiple of holeSize.
func (s *sparse) write(b []byte, at int64) error {
	for len(b) > 0 {
		// One write for as many blocks in a row as hold something.
		n := 0
		for n < len(b) {
			block := b[n:min(n+holeSize, len(b))]
			if bytes.Equal(block, zeros[:len(block)]) {
				break
			}
			s.sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(at)+uint64(n)))
			s.sum.Write(block)
			n += len(block)
		}
		if n > 0 {
			if _, err := s.w.WriteAt(b[:n], at); err != nil {
				return err
			}
		} else {
			n = min(holeSize, len(b))
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// copy writes all of r at an offset, a multiple of holeSize.
func (s *sparse) copy(ctx context.Context, r io.Reader, at int64) error {
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf)
		if err := s.write(buf[:n], at); err != nil {
			return err
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
