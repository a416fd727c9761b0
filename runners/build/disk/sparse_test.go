package disk

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"
)

// A copy has the same bytes, in blocks that hold something next to blocks that do
// not, and its zeros are neither written nor in the digest.
func TestSparseCopies(t *testing.T) {
	const at = 3 * holeSize
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "blocks") // 600 are two buffers and more
		size := len(blocks)*holeSize + rapid.IntRange(0, holeSize-1).Draw(t, "rest")
		content := make([]byte, size)
		full := 0
		for i, b := range blocks {
			if b%3 != 0 {
				content[i*holeSize+int(b)] = b
				full++
			}
		}
		out := &recorder{b: make([]byte, at+size)}
		s := sparse{w: out, sum: sha256.New()}
		if err := s.copy(t.Context(), bytes.NewReader(content), at); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.b[at:], content) || out.written != full*holeSize {
			t.Fatalf("%d bytes written, want %d", out.written, full*holeSize)
		}
		longer := sparse{w: &recorder{b: make([]byte, at+size+2*holeSize)}, sum: sha256.New()}
		if err := longer.copy(t.Context(), bytes.NewReader(append(content[:len(blocks)*holeSize:len(blocks)*holeSize], make([]byte, holeSize)...)), at); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.sum.Sum(nil), longer.sum.Sum(nil)) {
			t.Fatal("zeros changed the digest")
		}
	})
}

// recorder takes what is written to a file of zeros.
type recorder struct {
	b       []byte
	written int
}

func (r *recorder) WriteAt(p []byte, at int64) (int, error) {
	r.written += len(p)
	return copy(r.b[at:], p), nil
}
