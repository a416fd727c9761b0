package artifacts

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	maxXZDict   = 128 << 20 // bytes; xz -9 uses 64 MiB
	maxXZBlocks = 1 << 20
)

var (
	xzMagic   = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	xzTail    = []byte{'Y', 'Z'}
	errFormat = errors.New("not in the format it claims")
)

// xzCheckSize is the length in bytes of a block's check, by the stream's check id
// (The .xz File Format 1.1.0, 2.1.1.2).
var xzCheckSize = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

// xzScan walks over an xz file's structure without unpacking it. The decoder
// allocates whatever dictionary a block asks for, up to 4 GiB, and says how much
// comes out only when it is out; here both are known before it starts. It sees a
// truncated file at once, and says nothing about what the checks protect.
type xzScan struct {
	r        *bufio.Reader
	n        int64 // bytes taken
	blocks   int
	unpacked int64 // bytes
	check    int   // length of the stream's checks
}

// scanXZ returns how many bytes come out of an xz file. An error of reading is
// returned as it is; any other is about the file.
func scanXZ(r io.Reader) (unpacked int64, err error) {
	s := &xzScan{r: bufio.NewReaderSize(r, 64<<10)}
	for streams := 0; ; streams++ {
		head, err := s.streamStart(streams > 0)
		if err == io.EOF && streams > 0 {
			return s.unpacked, nil
		}
		if err == nil {
			err = s.stream(head)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, fmt.Errorf("xz, at byte %d: %w", s.n, err)
		}
	}
}

func (s *xzScan) take(n int) ([]byte, error) {
	b := make([]byte, n)
	k, err := io.ReadFull(s.r, b)
	s.n += int64(k)
	return b, err
}

func (s *xzScan) skip(n int) error {
	k, err := s.r.Discard(n)
	s.n += int64(k)
	return err
}

// streamStart returns the first four bytes of the next stream and io.EOF when
// there is none. Streams can have zeros between them.
func (s *xzScan) streamStart(padding bool) ([]byte, error) {
	for {
		b, err := s.take(4)
		if err != nil || !padding || !bytes.Equal(b, make([]byte, 4)) {
			return b, err
		}
	}
}

func (s *xzScan) stream(head []byte) error {
	rest, err := s.take(8)
	if err != nil {
		return err
	}
	head = append(head, rest...)
	if !bytes.Equal(head[:6], xzMagic) || head[6] != 0 || head[7] > 15 || !crcOK(head[6:12]) {
		return fmt.Errorf("stream header: %w", errFormat)
	}
	s.check = xzCheckSize[head[7]]
	for {
		size, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		s.n++
		if size == 0 {
			return s.index()
		}
		if s.blocks++; s.blocks > maxXZBlocks {
			return fmt.Errorf("more than %d blocks", maxXZBlocks)
		}
		if err := s.block(size); err != nil {
			return err
		}
	}
}

// block is at the second byte of a block's header.
func (s *xzScan) block(size byte) error {
	rest, err := s.take(int(size)*4 + 3)
	if err != nil {
		return err
	}
	head := append([]byte{size}, rest...)
	if !crcOK(head) {
		return fmt.Errorf("block header: %w", errFormat)
	}
	if err := checkFilter(head[1 : len(head)-4]); err != nil {
		return err
	}
	start := s.n
	if err := s.chunks(); err != nil {
		return err
	}
	return s.skip(int(-(s.n-start)&3) + s.check)
}

// checkFilter reads a block header from its flags to its padding.
func checkFilter(b []byte) error {
	flags := b[0]
	r := bytes.NewReader(b[1:])
	for _, size := range []byte{0x40, 0x80} {
		if flags&size != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return fmt.Errorf("block header: %w", errFormat)
			}
		}
	}
	var filter [3]byte // LZMA2: id 0x21, one byte of properties
	if _, err := io.ReadFull(r, filter[:]); err != nil || flags&0x3c != 0 {
		return fmt.Errorf("block header: %w", errFormat)
	}
	if flags&3 != 0 || filter[0] != 0x21 || filter[1] != 1 {
		return errors.New("a filter other than LZMA2, which headwatch does not read")
	}
	dict := uint64(1) << 32
	if p := filter[2]; p < 40 {
		dict = uint64(2|p&1) << (p/2 + 11)
	}
	if dict > maxXZDict {
		return fmt.Errorf("a dictionary of %d bytes, more than %d", dict, maxXZDict)
	}
	return nil
}

// chunks walks over LZMA2 data (xz-java and xz's lzma2_decoder.c agree on its
// form; there is no specification) up to its end marker.
func (s *xzScan) chunks() error {
	for {
		control, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		s.n++
		switch {
		case control == 0:
			return nil
		case control <= 2:
			err = s.plainChunk()
		case control >= 0x80:
			err = s.packedChunk(control)
		default:
			err = fmt.Errorf("chunk: %w", errFormat)
		}
		if err != nil {
			return err
		}
	}
}

func (s *xzScan) plainChunk() error {
	b, err := s.take(2)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(b)) + 1
	s.unpacked += int64(n)
	return s.skip(n)
}

func (s *xzScan) packedChunk(control byte) error {
	b, err := s.take(4)
	if err != nil {
		return err
	}
	s.unpacked += int64(control&0x1f)<<16 + int64(binary.BigEndian.Uint16(b)) + 1
	n := int(binary.BigEndian.Uint16(b[2:])) + 1
	if control >= 0xc0 {
		n++ // new properties
	}
	return s.skip(n)
}

// index is after the indicator. What it says is for the decoder to compare.
func (s *xzScan) index() error {
	start := s.n - 1
	records, err := s.varint()
	for i := uint64(0); err == nil && i < 2*records; i++ {
		_, err = s.varint()
	}
	if err != nil {
		return err
	}
	if err := s.skip(int(-(s.n-start)&3) + 4); err != nil {
		return err
	}
	foot, err := s.take(12)
	if err != nil {
		return err
	}
	if !bytes.Equal(foot[10:], xzTail) || crc32.ChecksumIEEE(foot[4:10]) != binary.LittleEndian.Uint32(foot) {
		return fmt.Errorf("stream footer: %w", errFormat)
	}
	return nil
}

func (s *xzScan) varint() (uint64, error) {
	var v uint64
	for i := range 9 {
		b, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		s.n++
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("index: %w", errFormat)
}

// crcOK checks the CRC-32 in the last four bytes.
func crcOK(b []byte) bool {
	n := len(b) - 4
	return crc32.ChecksumIEEE(b[:n]) == binary.LittleEndian.Uint32(b[n:])
}
