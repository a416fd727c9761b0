package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func readAll(r io.Reader) (frames [][]byte, empty int64, err error) {
	in := NewReader(r)
	for {
		var some [][]byte
		if some, err = in.Next(nil); err != nil {
			return frames, in.Empty, err
		}
		for _, f := range some {
			frames = append(frames, bytes.Clone(f))
		}
	}
}

func TestReader(t *testing.T) {
	long := bytes.Repeat([]byte{7}, MaxFrame)
	good := AppendFrame(AppendFrame(AppendFrame(nil, []byte("one")), nil), long)
	for name, tt := range map[string]struct {
		stream []byte
		frames int
		empty  int64
		want   *FramingError
	}{
		"whole":               {good, 2, 1, nil},
		"nothing":             {nil, 0, 0, nil},
		"ends in a length":    {append(bytes.Clone(good), 0, 0), 2, 1, &FramingError{Offset: int64(len(good)), Length: -1, Got: 2}},
		"ends in a frame":     {append(bytes.Clone(good), 0, 0, 0, 9, 1), 2, 1, &FramingError{Offset: int64(len(good)), Length: 9, Got: 5}},
		"announces too much":  {append(AppendFrame(nil, []byte("x")), 0, 1, 0, 129), 1, 0, &FramingError{Offset: 5, Length: MaxFrame + 1, Got: 4}},
		"a wildly long frame": {[]byte{0xff, 0xff, 0xff, 0xff}, 0, 0, &FramingError{Offset: 0, Length: 1<<32 - 1, Got: 4}},
	} {
		for _, slow := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				var r io.Reader = bytes.NewReader(tt.stream)
				if slow {
					r = iotest.OneByteReader(r)
				}
				frames, empty, err := readAll(r)
				if len(frames) != tt.frames || empty != tt.empty {
					t.Errorf("%d frames, %d empty", len(frames), empty)
				}
				var e *FramingError
				switch {
				case tt.want == nil && err != io.EOF:
					t.Error(err)
				case tt.want != nil && (!errors.As(err, &e) || !errors.Is(err, ErrFraming) || *e != *tt.want):
					t.Errorf("%v (%+v)", err, e)
				}
			})
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(AppendFrame(AppendFrame(nil, []byte("one")), []byte("two")))
	f.Add([]byte{0, 0, 0, 0, 0, 2, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames, empty, err := readAll(bytes.NewReader(stream))
		again := []byte{}
		for _, frame := range frames {
			again = AppendFrame(again, frame)
		}
		if err == io.EOF && empty == 0 && !bytes.Equal(again, stream) {
			t.Error("a whole stream did not come back")
		}
		if err != io.EOF && !errors.Is(err, ErrFraming) {
			t.Error(err)
		}
	})
}
