package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the longest frame that a cable carries, in bytes: 64 KiB and headers.
const MaxFrame = 64<<10 + 128

// ErrFraming is wrapped by the error of a stream that is no stream of frames.
var ErrFraming = errors.New("not a stream of frames")

// FramingError says where a stream stopped being one of frames. It wraps
// ErrFraming.
type FramingError struct {
	Offset int64 // of the frame's length in the stream
	Length int64 // that it announced; below 0: not even that came whole
	Got    int   // bytes that came behind Offset
}

func (e *FramingError) Error() string {
	switch {
	case e.Length > MaxFrame:
		return fmt.Sprintf("%v: byte %d announces a frame of %d bytes, want at most %d", ErrFraming, e.Offset, e.Length, MaxFrame)
	case e.Length < 0:
		return fmt.Sprintf("%v: it ends %d bytes into the length at byte %d", ErrFraming, e.Got, e.Offset)
	}
	return fmt.Sprintf("%v: it ends %d bytes into the frame of %d at byte %d", ErrFraming, e.Got-4, e.Length, e.Offset)
}

func (e *FramingError) Unwrap() error { return ErrFraming }

// AppendFrame appends a frame as QEMU's -netdev stream has it, behind its length: 4
// bytes, big-endian (net/stream.c).
func AppendFrame(b, frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(frame))), frame...)
}

// Reader takes frames from a stream, as many at once as have come.
type Reader struct {
	r     io.Reader
	buf   []byte
	begin int // of what was read and not given yet
	end   int
	at    int64 // offset of begin in the stream
	Empty int64 // frames without a byte, which are left out
}

// NewReader reads frames from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, buf: make([]byte, 256<<10)} }

// Next appends the frames that have come to frames, at least one, waiting for it.
// They are valid until the next call. io.EOF says that the stream ended behind a
// frame, a *FramingError that it is not one of frames.
func (r *Reader) Next(frames [][]byte) ([][]byte, error) {
	n := len(frames)
	for {
		var err error
		if frames, err = r.parse(frames); err != nil && len(frames) == n {
			return frames, err
		}
		if len(frames) > n { // an error comes again with the next call
			return frames, nil
		}
		if r.begin > 0 {
			r.end = copy(r.buf, r.buf[r.begin:r.end])
			r.begin = 0
		}
		m, err := r.r.Read(r.buf[r.end:])
		r.end += m
		if m > 0 || err == nil {
			continue
		}
		if err == io.EOF && r.end > 0 {
			e := &FramingError{Offset: r.at, Length: -1, Got: r.end}
			if r.end >= 4 {
				e.Length = int64(binary.BigEndian.Uint32(r.buf))
			}
			err = e
		}
		return frames, err
	}
}

// parse gives the whole frames that are in the buffer.
func (r *Reader) parse(frames [][]byte) ([][]byte, error) {
	for r.end-r.begin >= 4 {
		size := binary.BigEndian.Uint32(r.buf[r.begin:])
		if size > MaxFrame {
			return frames, &FramingError{Offset: r.at, Length: int64(size), Got: r.end - r.begin}
		}
		n := 4 + int(size)
		if n > r.end-r.begin {
			break
		}
		if size == 0 {
			r.Empty++
		} else {
			frames = append(frames, r.buf[r.begin+4:r.begin+n:r.begin+n])
		}
		r.begin += n
		r.at += int64(n)
	}
	return frames, nil
}
