package console

import (
	"bytes"
	"runtime"
	"testing"
)

func sample(tb testing.TB, size int64) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := WriteSample(&b, size); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func BenchmarkScanner(b *testing.B) {
	text := sample(b, 16<<20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := NewScanner()
		for p := text; len(p) > 0; p = p[min(128<<10, len(p)):] {
			s.Write(p[:min(128<<10, len(p))])
		}
	}
}

func BenchmarkLog(b *testing.B) {
	text := sample(b, 16<<20)
	b.SetBytes(int64(len(text)))
	l := New(Options{})
	for b.Loop() {
		for p := text; len(p) > 0; p = p[min(32<<10, len(p)):] {
			l.Write(p[:min(32<<10, len(p))])
		}
	}
}

func TestCleanTextCostsNoMemory(t *testing.T) {
	text := bytes.Repeat([]byte("vtnet0: link state changed to UP\r\nsome more, and no\r\n"), 1000)
	s := NewScanner()
	s.Write(text)
	if n := testing.AllocsPerRun(100, func() { s.Write(text[:len(text)-7]); s.Write(text[len(text)-7:]) }); n != 0 {
		t.Errorf("%v allocations for clean text", n)
	}
}

// TestLongOutputDoesNotGrow streams much more than is kept.
func TestLongOutputDoesNotGrow(t *testing.T) {
	text := sample(t, 8<<20)
	l := New(Options{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	l.Write(text)
	before := heap()
	for range 12 {
		l.Write(text)
	}
	if after := heap(); after > before+(1<<20) {
		t.Errorf("%d bytes in use, then %d after %d more", before, after, 12*len(text))
	}
	if l.Size() != int64(13*len(text)) {
		t.Errorf("size %d", l.Size())
	}
}
