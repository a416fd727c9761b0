package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ProtocolVersion is the version that both ends must speak.
const ProtocolVersion = 2

// MaxPayload is the largest payload of a frame, and of a message in pieces, in
// bytes.
const MaxPayload = 1 << 20

const (
	headerSize = 14
	// maxHandshake bounds a frame while the stream is searched for its start, so
	// that garbage that looks like a header cannot claim much.
	maxHandshake = 4 << 10
	// maxGarbage is how many bytes may be skipped before the first frame.
	maxGarbage = 1 << 20
	readChunk  = 16 << 10
)

// What a reader says of a stream that is not a sequence of frames.
var (
	ErrFrameMagic     = errors.New("garbage where a frame should start")
	ErrFrameVersion   = errors.New("frame of another protocol version")
	ErrFrameType      = errors.New("frame of an unknown type")
	ErrFrameSize      = errors.New("frame is too large")
	ErrFrameChecksum  = errors.New("frame has a wrong checksum")
	ErrFrameTruncated = errors.New("stream ended within a frame")

	errFrameCut   = errors.New("frame is cut off by a hello request")
	errFrameShort = errors.New("more bytes are needed")
)

var (
	magic      = [4]byte{0xF5, 'H', 'W', 0xA7}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// frameType says what message a payload is. The zero value is invalid.
type frameType byte

const (
	_                frameType = iota
	typeHelloRequest           // host → guest
	typeHello                  // guest → host
	typeRequest                // host → guest
	typeResponse               // guest → host
	typeCredit                 // guest → host
	typeHeartbeat              // guest → host
	typeCancel                 // host → guest
	typeBye                    // guest → host, and back as its acknowledgement
	typePart                   // a piece of a request or response, not the last
	typeLast                   // the last one
	typeDrop                   // host → guest: the rest of a request will not come
)

type frame struct {
	typ     frameType
	payload []byte
}

func checksum(header, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, payload)
}

// encodeFrame returns the bytes of a frame.
func encodeFrame(typ frameType, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameSize, len(payload), MaxPayload)
	}
	b := make([]byte, 0, headerSize+len(payload))
	b = append(b, magic[:]...)
	b = append(b, ProtocolVersion, byte(typ))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, checksum(b, payload))
	return append(b, payload...), nil
}

// parseFrame reads the frame at the start of b and returns how many bytes it
// took; its payload aliases b. errFrameShort means that b may be the beginning
// of a frame. The checksum comes before version and type, so that those two are
// said only of a header that arrived as it was sent.
func parseFrame(b []byte, maxPayload int) (frame, int, error) {
	if n := min(len(b), len(magic)); !bytes.Equal(b[:n], magic[:n]) {
		return frame{}, 0, fmt.Errorf("%w: % x", ErrFrameMagic, b[:n])
	}
	if len(b) < headerSize {
		return frame{}, 0, errFrameShort
	}
	size := binary.BigEndian.Uint32(b[6:])
	if uint64(size) > uint64(maxPayload) {
		return frame{}, 0, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameSize, size, maxPayload)
	}
	end := headerSize + int(size)
	if len(b) < end {
		return frame{}, 0, errFrameShort
	}
	payload := b[headerSize:end:end]
	if want, got := binary.BigEndian.Uint32(b[10:]), checksum(b[:10], payload); want != got {
		return frame{}, 0, fmt.Errorf("%w: %08x, header says %08x", ErrFrameChecksum, got, want)
	}
	if b[4] != ProtocolVersion {
		return frame{}, 0, fmt.Errorf("%w: %d, this end speaks %d", ErrFrameVersion, b[4], ProtocolVersion)
	}
	typ := frameType(b[5])
	if typ < typeHelloRequest || typ > typeDrop {
		return frame{}, 0, fmt.Errorf("%w: %d", ErrFrameType, b[5])
	}
	return frame{typ, payload}, end, nil
}

// frameReader cuts a stream into frames. It starts out searching for the first
// frame; synced ends the search.
type frameReader struct {
	src     io.Reader
	buf     []byte // read and not yet returned; grows with what arrived, not with what a header claims
	synced  bool
	yields  bool // the guest's end: a frame may be cut off by the hello of a new host
	skipped int  // bytes of garbage before the first frame
}

func newFrameReader(src io.Reader) *frameReader { return &frameReader{src: src} }

// next returns the next frame; its payload is the caller's. io.EOF means that
// the stream ended between two frames.
func (r *frameReader) next() (frame, error) {
	for {
		f, n, err := r.parse()
		if err == nil {
			f.payload = bytes.Clone(f.payload)
			r.drop(n)
			return f, nil
		}
		if !errors.Is(err, errFrameShort) {
			return frame{}, err
		}
		if r.yields && r.synced && r.cut() {
			return frame{}, errFrameCut
		}
		if err := r.fill(); err != nil {
			return frame{}, err
		}
	}
}

func (r *frameReader) parse() (frame, int, error) {
	if r.synced {
		return parseFrame(r.buf, MaxPayload)
	}
	return r.search()
}

// cut reports whether a hello request lies within the frame that the buffer
// begins. It cannot be that frame's payload: JSON holds no byte of the magic's
// first.
func (r *frameReader) cut() bool {
	for at := 1; at < len(r.buf); at++ {
		i := bytes.IndexByte(r.buf[at:], magic[0])
		if i < 0 {
			return false
		}
		at += i
		if f, _, err := parseFrame(r.buf[at:], maxHandshake); err == nil && f.typ == typeHelloRequest {
			return true
		}
	}
	return false
}

// search looks for a whole frame anywhere in the buffer. A beginning that is
// not whole yet does not stop it: it may be garbage that would swallow the true
// frame behind it. Only another version's frame is an error here.
func (r *frameReader) search() (frame, int, error) {
	keep := len(r.buf)
	for at := 0; at < len(r.buf); at++ {
		i := bytes.IndexByte(r.buf[at:], magic[0])
		if i < 0 {
			break
		}
		at += i
		f, n, err := parseFrame(r.buf[at:], maxHandshake)
		switch {
		case err == nil:
			r.skipped += at
			return f, at + n, nil
		case errors.Is(err, ErrFrameVersion):
			return frame{}, 0, err
		case errors.Is(err, errFrameShort) && keep == len(r.buf):
			keep = at
		}
	}
	r.skipped += keep
	r.drop(keep)
	if r.skipped > maxGarbage {
		return frame{}, 0, fmt.Errorf("%w: no frame in the first %d bytes", ErrFrameMagic, r.skipped)
	}
	return frame{}, 0, errFrameShort
}

func (r *frameReader) drop(n int) {
	r.buf = r.buf[:copy(r.buf, r.buf[n:])]
	if len(r.buf) == 0 && cap(r.buf) > 4*readChunk {
		r.buf = nil // do not keep a large frame's memory for the small ones after it
	}
}

// fill reads once. A read that returns bytes and an error gives the bytes first:
// readers repeat their error.
func (r *frameReader) fill() error {
	if cap(r.buf)-len(r.buf) < readChunk {
		r.buf = append(make([]byte, 0, 2*len(r.buf)+readChunk), r.buf...)
	}
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	case len(r.buf) > 0 && r.synced:
		return fmt.Errorf("%w: %d bytes of it arrived: %w", ErrFrameTruncated, len(r.buf), noEOF(err))
	}
	return err
}

// noEOF keeps a stream that ended within a frame from looking like one that
// ended between two.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
