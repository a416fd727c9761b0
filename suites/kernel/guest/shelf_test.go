//go:build linux || freebsd

package guest

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

// noise cannot be compressed.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // never fails
	return b
}

func TestReadingInPieces(t *testing.T) {
	s := newShelf(100)
	want := noise(1050)
	r, err := s.reading(raw{data: want}, nil)
	if err != nil || r.Size != len(want) || len(r.Data) != 100 {
		t.Fatalf("%+v, %v", r, err)
	}
	packed, pieces := r.Data, 1
	for r.Rest != 0 {
		id := r.Rest
		if r, err = s.rest(id); err != nil {
			t.Fatal(err)
		}
		packed = append(packed, r.Data...)
		pieces++
		if _, err := s.rest(id); err == nil {
			t.Fatal("a piece was given twice")
		}
	}
	got, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil || !bytes.Equal(got, want) || pieces < 11 {
		t.Errorf("%d bytes in %d pieces, %v", len(got), pieces, err)
	}
	if s.bytes != 0 || len(s.left) != 0 || len(s.order) != 0 {
		t.Errorf("%d bytes are left in %d places", s.bytes, len(s.left))
	}
}

// A host that fetches nothing does not fill the guest's memory.
func TestUnfetchedReadingsAreForgotten(t *testing.T) {
	s := newShelf(100)
	var ids []uint64
	for range 3 * shelfPlaces {
		r, err := s.reading(raw{data: noise(500)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Rest)
	}
	if len(s.left) != shelfPlaces || len(s.order) != shelfPlaces {
		t.Errorf("%d readings are kept, want %d", len(s.left), shelfPlaces)
	}
	if _, err := s.rest(ids[0]); err == nil {
		t.Error("the oldest is still there")
	}
	if _, err := s.rest(ids[len(ids)-1]); err != nil {
		t.Errorf("the newest: %v", err)
	}
}

func TestAbsentReading(t *testing.T) {
	if r, err := newShelf(100).reading(raw{absent: true}, nil); err != nil || !r.Absent || r.Data != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
