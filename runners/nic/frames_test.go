package nic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
)

func TestStreamCarriesFrames(t *testing.T) {
	a, b := streams(t)
	sent := [][]byte{[]byte("one"), bytes.Repeat([]byte{7}, maxFrame), {0}}
	go func() {
		for _, f := range sent {
			if err := a.WriteFrame(f); err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	buf := make([]byte, maxFrame)
	for i, want := range sent {
		n, err := b.ReadFrame(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("frame %d: %d bytes, %v, want %d", i, n, err, len(want))
		}
	}
	if _, err := b.ReadFrame(buf); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v, want EOF", err)
	}
	for _, bad := range [][]byte{nil, make([]byte, maxFrame+1)} {
		if err := b.WriteFrame(bad); err == nil {
			t.Errorf("a frame of %d bytes was sent", len(bad))
		}
	}
}

func streams(t *testing.T) (a, b Frames) {
	t.Helper()
	x, y, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(); y.Close() })
	return Stream(x), Stream(y)
}

// readAll reads frames from what a guest could send.
func readAll(data []byte) (frames [][]byte, err error) {
	x, y := net.Pipe()
	defer y.Close()
	go func() {
		x.Write(data) // the reader may give up before the end
		x.Close()
	}()
	s := Stream(y)
	buf := make([]byte, maxFrame)
	for {
		n, err := s.ReadFrame(buf)
		if err != nil {
			return frames, err
		}
		frames = append(frames, bytes.Clone(buf[:n]))
	}
}

func TestStreamOfAHostileGuest(t *testing.T) {
	frame := func(n uint32, body string) []byte { return append(binary.BigEndian.AppendUint32(nil, n), body...) }
	for _, tt := range []struct {
		name   string
		data   []byte
		frames int
		want   error
	}{
		{"whole", frame(2, "ab"), 1, io.EOF},
		{"huge", append(frame(2, "ab"), frame(1<<31, "x")...), 1, ErrFrame},
		{"empty", frame(0, ""), 0, ErrFrame},
		{"cut in a frame", frame(9, "abc"), 0, io.ErrUnexpectedEOF},
		{"cut in a length", []byte{0, 0}, 0, io.ErrUnexpectedEOF},
	} {
		frames, err := readAll(tt.data)
		if len(frames) != tt.frames || !errors.Is(err, tt.want) {
			t.Errorf("%s: %d frames, %v; want %d, %v", tt.name, len(frames), err, tt.frames, tt.want)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 7, 0, 0, 0, 2, 1, 2})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		frames, err := readAll(data)
		if err == nil {
			t.Fatal("no end")
		}
		// What was read is what it says: written again, it is a prefix of the data.
		var again []byte
		for _, b := range frames {
			again = append(binary.BigEndian.AppendUint32(again, uint32(len(b))), b...)
		}
		if !bytes.HasPrefix(data, again) {
			t.Errorf("%d frames that were not sent", len(frames))
		}
	})
}
