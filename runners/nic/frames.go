package nic

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Frames is one end of an Ethernet link. Reading and writing may happen at the
// same time, each by one goroutine; Close ends both.
type Frames interface {
	// ReadFrame reads one frame into b, which holds at least MaxFrame bytes. io.EOF
	// says that the other end is gone.
	ReadFrame(b []byte) (int, error)
	// WriteFrame sends one frame. It keeps nothing of b.
	WriteFrame(b []byte) error
	Close() error
}

// MaxFrame is the longest frame of any link, in bytes.
const MaxFrame = maxFrame

// ErrFrame is wrapped by the error of a stream whose framing makes no sense.
var ErrFrame = errors.New("not a stream of frames")

// stream is frames as QEMU's -netdev stream has them: each behind its length, 4
// bytes, big-endian (net/stream.c).
type stream struct {
	conn net.Conn
	in   *bufio.Reader

	sending sync.Mutex
	out     []byte
}

// Stream gives the frames of a connection to QEMU's -netdev stream. The guest
// decides what comes: a length that no frame has ends it.
func Stream(c net.Conn) Frames {
	return &stream{conn: c, in: bufio.NewReaderSize(c, 64<<10)}
}

func (s *stream) ReadFrame(b []byte) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, err // io.EOF between frames: the other end is gone
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxFrame || int(n) > len(b) {
		return 0, fmt.Errorf("%w: frame of %d bytes, want 1 to %d", ErrFrame, n, min(maxFrame, len(b)))
	}
	if _, err := io.ReadFull(s.in, b[:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("within a frame of %d bytes: %w", n, err)
	}
	return int(n), nil
}

func (s *stream) WriteFrame(b []byte) error {
	if len(b) == 0 || len(b) > maxFrame {
		return fmt.Errorf("frame of %d bytes: want 1 to %d", len(b), maxFrame)
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	// In one write, so that a frame is never behind another's length.
	s.out = append(binary.BigEndian.AppendUint32(s.out[:0], uint32(len(b))), b...)
	_, err := s.conn.Write(s.out)
	return err
}

func (s *stream) Close() error { return s.conn.Close() }
