package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func mustFrame(t testing.TB, typ frameType, payload string) []byte {
	t.Helper()
	b, err := encodeFrame(typ, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reseal changes a header byte and makes the checksum right again.
func reseal(b []byte, at int, value byte) []byte {
	b = bytes.Clone(b)
	b[at] = value
	binary.BigEndian.PutUint32(b[10:], checksum(b[:10], b[headerSize:]))
	return b
}

func TestFrameLayout(t *testing.T) {
	// The CRC was computed by hand with another implementation of CRC-32C, so
	// that the layout cannot change unseen.
	want := []byte{0xF5, 'H', 'W', 0xA7, 2, byte(typeHeartbeat), 0, 0, 0, 2}
	got := mustFrame(t, typeHeartbeat, "{}")
	if !bytes.Equal(got[:10], want) || string(got[headerSize:]) != "{}" {
		t.Errorf("frame is % x", got)
	}
	if crc := binary.BigEndian.Uint32(got[10:]); crc != slowCRC32C(append(want, "{}"...)) {
		t.Errorf("checksum is %08x", crc)
	}
}

// slowCRC32C is the definition: reflected polynomial 0x82F63B78, bit by bit.
func slowCRC32C(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			crc = crc>>1 ^ 0x82F63B78*(crc&1)
		}
	}
	return ^crc
}

func TestFrameReaderErrors(t *testing.T) {
	good := mustFrame(t, typeResponse, `{"id":1}`)
	large := bytes.Clone(good)
	binary.BigEndian.PutUint32(large[6:], MaxPayload+1)
	damaged := bytes.Clone(good)
	damaged[len(damaged)-1] ^= 1
	for name, c := range map[string]struct {
		stream []byte
		frames int
		want   error
	}{
		"empty":            {nil, 0, io.EOF},
		"whole":            {good, 1, io.EOF},
		"two":              {append(bytes.Clone(good), good...), 2, io.EOF},
		"garbage":          {[]byte("login: "), 0, ErrFrameMagic},
		"garbage between":  {append(bytes.Clone(good), 'x'), 1, ErrFrameMagic},
		"oversize":         {large, 0, ErrFrameSize},
		"wrong checksum":   {damaged, 0, ErrFrameChecksum},
		"other version":    {reseal(good, 4, ProtocolVersion+1), 0, ErrFrameVersion},
		"unknown type":     {reseal(good, 5, 99), 0, ErrFrameType},
		"type zero":        {reseal(good, 5, 0), 0, ErrFrameType},
		"cut in header":    {good[:5], 0, ErrFrameTruncated},
		"cut in payload":   {good[:len(good)-1], 0, ErrFrameTruncated},
		"cut after header": {good[:headerSize], 0, ErrFrameTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFrameReader(iotest.OneByteReader(bytes.NewReader(c.stream)))
			r.synced = true
			frames, err := drain(r)
			if frames != c.frames || !errors.Is(err, c.want) {
				t.Errorf("%d frames, then %v; want %d, then %v", frames, err, c.frames, c.want)
			}
		})
	}
}

func drain(r *frameReader) (int, error) {
	for n := 0; ; n++ {
		if _, err := r.next(); err != nil {
			return n, err
		}
	}
}

func TestSearchFindsTheFirstFrame(t *testing.T) {
	good := mustFrame(t, typeHello, `{"session":"s"}`)
	liar := bytes.Clone(good[:headerSize]) // claims 4 KiB that never come
	binary.BigEndian.PutUint32(liar[6:], maxHandshake)
	damaged := bytes.Clone(good)
	damaged[headerSize] ^= 0xFF
	for name, garbage := range map[string][]byte{
		"nothing":        nil,
		"text":           []byte("SeaBIOS (version 1.16)\r\nlogin: "),
		"magic's start":  {0xF5, 'H'},
		"magics":         bytes.Repeat(magic[:], 30),
		"a lying header": liar,
		"a damaged one":  damaged,
		"frame's tail":   good[7:],
		"much":           []byte(strings.Repeat("noise ", 20_000)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, src := range []io.Reader{
				bytes.NewReader(append(bytes.Clone(garbage), good...)),
				iotest.OneByteReader(bytes.NewReader(append(bytes.Clone(garbage), good...))),
			} {
				r := newFrameReader(src)
				f, err := r.next()
				if err != nil || f.typ != typeHello {
					t.Fatalf("%+v, %v", f, err)
				}
				if r.skipped != len(garbage) {
					t.Errorf("skipped %d bytes, want %d", r.skipped, len(garbage))
				}
			}
		})
	}
}

func TestSearchEnds(t *testing.T) {
	r := newFrameReader(strings.NewReader(strings.Repeat("x", maxGarbage+1)))
	if _, err := r.next(); !errors.Is(err, ErrFrameMagic) {
		t.Errorf("endless garbage: %v", err)
	}
	if cap(r.buf) > 1<<18 {
		t.Errorf("garbage is kept: %d bytes", cap(r.buf))
	}
	r = newFrameReader(bytes.NewReader(reseal(mustFrame(t, typeHello, "{}"), 4, 9)))
	if _, err := r.next(); !errors.Is(err, ErrFrameVersion) {
		t.Errorf("another version: %v", err)
	}
}

func TestEncodeRejectsOversize(t *testing.T) {
	if _, err := encodeFrame(typeRequest, make([]byte, MaxPayload+1)); !errors.Is(err, ErrFrameSize) {
		t.Error(err)
	}
}

// FuzzFrameReader: whatever arrives, in whatever pieces, the reader returns
// frames that encode to bytes of the stream, or one of its errors.
func FuzzFrameReader(f *testing.F) {
	good := mustFrame(f, typeResponse, `{"id":1,"result":null}`)
	f.Add(good, true)
	f.Add(append([]byte("boot: "), good...), false)
	f.Add(append(bytes.Clone(good[:9]), good...), false)
	f.Add(reseal(good, 4, 3), true)
	f.Fuzz(func(t *testing.T, stream []byte, synced bool) {
		whole := readAll(t, bytes.NewReader(stream), synced, stream)
		pieces := readAll(t, iotest.OneByteReader(bytes.NewReader(stream)), synced, stream)
		if whole != pieces {
			t.Errorf("%d frames at once, %d byte by byte", whole, pieces)
		}
	})
}

func readAll(t *testing.T, src io.Reader, synced bool, stream []byte) int {
	r := newFrameReader(src)
	r.synced = synced
	for n := 0; ; n++ {
		fr, err := r.next()
		if err == nil {
			b, err := encodeFrame(fr.typ, fr.payload)
			if err != nil || !bytes.Contains(stream, b) {
				t.Fatalf("frame that was not sent: % x, %v", b, err)
			}
			r.synced = true
			continue
		}
		for _, known := range []error{io.EOF, ErrFrameMagic, ErrFrameVersion, ErrFrameType, ErrFrameSize, ErrFrameChecksum, ErrFrameTruncated} {
			if errors.Is(err, known) {
				return n
			}
		}
		t.Fatalf("unknown error %v", err)
	}
}
