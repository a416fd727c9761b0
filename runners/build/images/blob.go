package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"
)

// A blob's file is one zstd frame and one skippable frame (RFC 8878, 3.1.2) that
// holds the SHA-256 of the bytes before it. The content's digest alone would not
// see a flipped bit that decoders ignore; this sees every bit, and `zstd -d`
// still reads the file.
const (
	skippableMagic = 0x184d2a5e
	blobTrailerLen = 8 + sha256.Size
	blobWindow     = 1 << 20 // bytes that the compressor looks back
)

func blobTrailer(sum []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, sha256.Size)
	return append(b, sum...)
}

// writeBlob compresses what produce writes into w and returns the digest and the
// size of the uncompressed content.
func writeBlob(ctx context.Context, w io.Writer, produce func(io.Writer) error) (string, int64, error) {
	packed := sha256.New()
	enc, err := zstd.NewWriter(io.MultiWriter(w, packed), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(blobWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		return "", 0, err
	}
	m := &meter{ctx: ctx, w: enc, sum: sha256.New()}
	err = produce(m)
	if closed := enc.Close(); err == nil {
		err = closed
	}
	if m.err != nil {
		err = m.err // the disk's own words, whatever produce made of them
	}
	if err != nil {
		return "", 0, err
	}
	if _, err := w.Write(blobTrailer(packed.Sum(nil))); err != nil {
		return "", 0, err
	}
	return digestString(m.sum.Sum(nil)), m.n, nil
}

// measure returns the digest and the size of what produce writes.
func measure(ctx context.Context, produce func(io.Writer) error) (string, int64, error) {
	m := &meter{ctx: ctx, w: io.Discard, sum: sha256.New()}
	if err := produce(m); err != nil {
		return "", 0, err
	}
	return digestString(m.sum.Sum(nil)), m.n, nil
}

// meter hashes and counts what passes, and stops when its context ends. err
// keeps the first failure of w.
type meter struct {
	ctx context.Context
	w   io.Writer
	sum hash.Hash
	n   int64
	err error
}

func (m *meter) Write(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.w.Write(p)
	m.sum.Write(p[:n])
	m.n += int64(n)
	if err != nil && m.err == nil {
		m.err = err
	}
	return n, err
}

// damage says what is wrong with a stored file; any other error of readBlob is
// one of reading or writing.
type damage string

func (d damage) Error() string { return string(d) }

// readBlob decompresses the blob's file at path into w and verifies every byte
// of both. It returns a damage when the file is not what was stored; then w has
// received bytes that must not be used.
func readBlob(ctx context.Context, path string, b Blob, w io.Writer) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return damage("missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	digest, size, err := readPacked(ctx, f, b.Size, w)
	switch {
	case err != nil:
		return err
	case size != b.Size:
		return damage(fmt.Sprintf("not of %d bytes", b.Size))
	case digest != b.Digest:
		return damage("of another digest")
	}
	return nil
}

// readPacked decompresses a file that writeBlob wrote into w, verifies every byte
// of the file and returns the digest and the size of the content. It reads at most
// one byte more than limit of the content. Its errors are those of readBlob.
func readPacked(ctx context.Context, f *os.File, limit int64, w io.Writer) (string, int64, error) {
	st, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	frame := st.Size() - blobTrailerLen
	if frame < 0 {
		return "", 0, damage("cut short")
	}
	src := &meterReader{r: io.LimitReader(f, frame), sum: sha256.New()}
	dec, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return "", 0, err
	}
	defer dec.Close()
	m := &meter{ctx: ctx, w: w, sum: sha256.New()}
	_, err = io.Copy(m, io.LimitReader(dec, limit+1))
	switch {
	case ctx.Err() != nil:
		return "", 0, ctx.Err()
	case m.err != nil:
		return "", 0, m.err
	case src.err != nil:
		return "", 0, src.err
	case err != nil:
		return "", 0, damage(fmt.Sprintf("not decompressible (%v)", err))
	}
	return digestString(m.sum.Sum(nil)), m.n, verifyPacked(f, src)
}

// verifyPacked compares a file with what its end says of it.
func verifyPacked(f io.Reader, src *meterReader) error {
	if _, err := io.Copy(io.Discard, src); err != nil {
		return err
	}
	trailer := make([]byte, blobTrailerLen)
	if _, err := io.ReadFull(f, trailer); err != nil {
		return err
	}
	if !bytes.Equal(trailer, blobTrailer(src.sum.Sum(nil))) {
		return damage("changed on disk")
	}
	return nil
}

// meterReader hashes what is read. err keeps the first failure of r.
type meterReader struct {
	r   io.Reader
	sum hash.Hash
	err error
}

func (m *meterReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	if err != nil && err != io.EOF && m.err == nil {
		m.err = err
	}
	return n, err
}
