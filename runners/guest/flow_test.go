package guest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// Whatever is sent in whatever sizes: the window is never exceeded, and never
// closed for ever while the agent reads.
func TestWindowNeverOverflowsNorSticks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(minWindow, maxWindow).Draw(t, "window")
		w := window{freed: make(chan struct{}, 1)}
		w.open(size)
		r := receipt{window: size}
		var flight []int // frames that the agent has not read
		flying, unread := 0, 0
		read := func() {
			n := flight[0]
			flight, unread = flight[1:], unread-n
			if credit := r.read(n); credit > 0 {
				flying -= credit
				if err := w.give(credit); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "frames") {
			n := headerSize + rapid.IntRange(0, pieceSize(size)).Draw(t, "payload")
			for reads := rapid.IntRange(0, 2).Draw(t, "reads"); reads > 0 && len(flight) > 0; reads-- {
				read()
			}
			for !w.take(n) {
				if len(flight) == 0 {
					t.Fatalf("no room for %d bytes in an empty window of %d", n, size)
				}
				read()
			}
			flight, flying, unread = append(flight, n), flying+n, unread+n
			if flying > size || unread > flying {
				t.Fatalf("%d bytes on the way, %d unread, window %d", flying, unread, size)
			}
		}
	})
}

func TestWindowRefusesCredit(t *testing.T) {
	for name, c := range map[string]struct{ sent, credit int }{
		"none":             {1000, 0},
		"little":           {1000, 511},
		"negative":         {1000, -512},
		"nothing was sent": {0, 512},
		"too much":         {1000, 1001},
		"overflow":         {1000, int(^uint(0) >> 1)},
	} {
		w := window{freed: make(chan struct{}, 1)}
		w.open(1024)
		if c.sent > 0 && !w.take(c.sent) {
			t.Fatalf("%s: no room", name)
		}
		if err := w.give(c.credit); !errors.Is(err, ErrCredit) {
			t.Errorf("%s: %v", name, err)
		}
		if w.flying != c.sent {
			t.Errorf("%s: it counted", name)
		}
	}
	closed := window{freed: make(chan struct{}, 1)}
	if closed.take(1) || closed.give(1) == nil {
		t.Error("there is room before the handshake")
	}
}

// A message of any size survives being cut, whatever pieces the stream comes in.
func TestPiecesMakeTheMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := pieceSize(rapid.IntRange(minWindow, 4096).Draw(t, "window"))
		want := bytes.Repeat([]byte("0123456789abcdef"), 4096)[:rapid.IntRange(size+1, 20*size+1).Draw(t, "length")]
		var stream bytes.Buffer
		for p, last := (pieces{want, size}), false; !last; {
			var b []byte
			var err error
			if b, last, err = p.next(); err != nil {
				t.Fatal(err)
			}
			stream.Write(b)
		}
		var src io.Reader = &stream
		if rapid.Bool().Draw(t, "byte by byte") {
			src = iotest.OneByteReader(src)
		}
		r, a := newFrameReader(src), assembly{size: size}
		r.synced = true
		for {
			f, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			got, done, err := a.add(f)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				if !bytes.Equal(got, want) || a.got != nil {
					t.Fatalf("%d bytes became %d", len(want), len(got))
				}
				return
			}
		}
	})
}

func TestAssemblyErrors(t *testing.T) {
	part := func(typ frameType, n int) frame { return frame{typ, bytes.Repeat([]byte("x"), n)} }
	for name, c := range map[string]struct {
		frames []frame
		want   error
	}{
		"short piece":   {[]frame{part(typePart, 99)}, ErrMessage},
		"empty piece":   {[]frame{part(typePart, 0)}, ErrMessage},
		"long piece":    {[]frame{part(typePart, 101)}, ErrMessage},
		"last alone":    {[]frame{part(typeLast, 10)}, ErrMessage},
		"empty last":    {[]frame{part(typePart, 100), part(typeLast, 0)}, ErrMessage},
		"long last":     {[]frame{part(typePart, 100), part(typeLast, 101)}, ErrMessage},
		"endless":       {slices.Repeat([]frame{part(typePart, 100)}, MaxPayload/100+1), ErrFrameSize},
		"one too large": {append(slices.Repeat([]frame{part(typePart, 100)}, MaxPayload/100), part(typeLast, 77)), ErrFrameSize},
		"largest":       {append(slices.Repeat([]frame{part(typePart, 100)}, MaxPayload/100), part(typeLast, 76)), nil},
	} {
		a := assembly{size: 100}
		var err error
		for _, f := range c.frames {
			if _, _, err = a.add(f); err != nil {
				break
			}
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if cap(a.got) > 2*MaxPayload {
			t.Errorf("%s: %d bytes are kept", name, cap(a.got))
		}
	}
}
