package tcp

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
)

// Content is the bytes of one direction of a connection. They follow from the seed, so
// each end can make and check any of them by its place.
type Content struct {
	Seed uint64
	Size int64
}

// ReadAt is of an io.ReaderAt.
func (c Content) ReadAt(b []byte, at int64) (int, error) {
	if at >= c.Size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), c.Size-at))
	guest.Content(c.Seed, at, b[:n])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Bytes makes all of it.
func (c Content) Bytes() []byte {
	b := make([]byte, c.Size)
	guest.Content(c.Seed, 0, b)
	return b
}

// Check reads r to its end and compares what came with the content, by its SHA-256
// and byte by byte where that differs. The error is the kernel's failure, unless
// reading failed.
func (c Content) Check(r io.Reader) error {
	came, want := sha256.New(), sha256.New()
	buf, expected := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	first := int64(-1)
	for {
		n, err := r.Read(buf)
		guest.Content(c.Seed, at, expected[:n])
		came.Write(buf[:n])
		want.Write(expected[:n])
		for i := 0; first < 0 && i < n; i++ {
			if buf[i] != expected[i] {
				first = at + int64(i)
			}
		}
		if at += int64(n); at > c.Size {
			return suites.Failf("the guest sent more than the %d bytes it was told to", c.Size)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return &peerError{fmt.Errorf("after %d of %d bytes: %w", at, c.Size, err)}
		}
	}
	a, b := came.Sum(nil), want.Sum(nil)
	switch {
	case at < c.Size:
		return suites.Failf("the guest ended its stream after %d of %d bytes", at, c.Size)
	case string(a) != string(b):
		return suites.Failf("the guest's %d bytes came as others: SHA-256 %x, want %x; the first at byte %d", at, a[:8], b[:8], first)
	}
	return nil
}
