package artifacts

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const maxZstdWindow = 128 << 20 // bytes; what `zstd --long` uses

var (
	zstdMagic    = []byte{0x28, 0xb5, 0x2f, 0xfd}
	errNotPacked = errors.New("neither xz nor zstd")
)

// packed reads what is in an xz or zstd file, and checks it on the way: only a
// reader that got to io.EOF knows that the file is whole.
type packed struct {
	name  string
	file  *source
	plain io.Reader
	close func()
	size  int64 // bytes that come out; -1: known at the end
}

// source keeps the disk's errors apart from what a decoder makes of them.
type source struct {
	ctx context.Context
	f   *os.File
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.f.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// openPacked tells the format by the file's first bytes, for a server can send
// an error's page under any name.
func openPacked(ctx context.Context, path string) (*packed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &packed{name: path, file: &source{ctx: ctx, f: f}, close: func() {}, size: -1}
	if err := p.start(); err != nil {
		err = p.blame(err)
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

func (p *packed) start() error {
	head := make([]byte, len(xzMagic))
	n, err := io.ReadFull(p.file, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if _, err := p.file.f.Seek(0, io.SeekStart); err != nil {
		return p.disk(err)
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, xzMagic):
		return p.startXZ()
	case bytes.HasPrefix(head, zstdMagic):
		return p.startZstd()
	}
	return fmt.Errorf("%w: it starts with %q", errNotPacked, head)
}

func (p *packed) startXZ() (err error) {
	if p.size, err = scanXZ(p.file); err != nil {
		return err
	}
	if _, err := p.file.f.Seek(0, io.SeekStart); err != nil {
		return p.disk(err)
	}
	// The decoder reads byte by byte.
	p.plain, err = xz.NewReader(bufio.NewReaderSize(p.file, 256<<10))
	return err
}

func (p *packed) startZstd() error {
	dec, err := zstd.NewReader(p.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return err
	}
	p.plain, p.close = dec, dec.Close
	return nil
}

func (p *packed) Read(b []byte) (int, error) {
	n, err := p.plain.Read(b)
	if err != nil && err != io.EOF {
		err = p.blame(err)
	}
	return n, err
}

func (p *packed) Close() error {
	p.close()
	return p.file.f.Close()
}

// disk remembers that an error is not the file's fault.
func (p *packed) disk(err error) error {
	p.file.err = err
	return err
}

// blame makes a decoder's error a *DamagedError, unless reading was at fault.
func (p *packed) blame(err error) error {
	if p.file.err != nil {
		return fmt.Errorf("read %s: %w", p.name, p.file.err)
	}
	if errors.Is(err, errNotPacked) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return damaged(p.name, err)
}

func damaged(name string, err error) *DamagedError {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamagedError{File: name, Problem: "truncated: " + err.Error()}
	}
	return &DamagedError{File: name, Problem: "corrupted: " + err.Error()}
}

// checkPacked unpacks a file to nowhere. It returns a *DamagedError for one that
// is not whole or that holds more than limit bytes, and errNotPacked for one that
// is something else altogether: what a proxy sends for a file looks like that.
func checkPacked(ctx context.Context, path string, limit int64) (err error) {
	p, err := openPacked(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	_, err = io.Copy(io.Discard, &capped{p, limit})
	return err
}

// capped refuses what comes after left bytes.
type capped struct {
	p    *packed
	left int64
}

func (c *capped) Read(b []byte) (int, error) {
	n, err := c.p.Read(b)
	if c.left -= int64(n); c.left < 0 {
		return 0, &DamagedError{File: c.p.name, Problem: "holds more than it may, or is a decompression bomb"}
	}
	return n, err
}
