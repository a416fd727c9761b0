//go:build linux || freebsd

package guest

import (
	"bytes"
	"compress/flate"
	"fmt"
	"sync"
)

const (
	// pieceSize keeps an answer well below the protocol's limit of a frame, in
	// base64.
	pieceSize = 256 << 10
	// shelfPlaces and shelfBytes bound what hosts may leave unfetched.
	shelfPlaces = 8
	shelfBytes  = 32 << 20
)

// shelf compresses readings, most of which are zeros, and keeps the pieces that
// the host has not fetched yet. A reading must be taken at one moment, so it
// cannot be asked of the kernel again piece by piece.
type shelf struct {
	piece int

	mu    sync.Mutex
	last  uint64
	left  map[uint64][]byte
	order []uint64 // keys of left, oldest first
	bytes int
}

func newShelf(piece int) *shelf { return &shelf{piece: piece, left: make(map[uint64][]byte)} }

// raw is a reading before compression; absent says that the kernel has none.
type raw struct {
	data   []byte
	absent bool
}

// reading gives the first piece of what was read.
func (s *shelf) reading(r raw, err error) (Reading, error) {
	if err != nil || r.absent {
		return Reading{Absent: r.absent}, err
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return Reading{}, err
	}
	if _, err := w.Write(r.data); err != nil {
		return Reading{}, err
	}
	if err := w.Close(); err != nil {
		return Reading{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut(len(r.data), b.Bytes()), nil
}

// rest gives the next piece and forgets it.
func (s *shelf) rest(id uint64) (Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.left[id]
	if !ok {
		return Reading{}, fmt.Errorf("no reading %d: it was fetched already, or not for long", id)
	}
	s.drop(id)
	return s.cut(0, data), nil
}

// cut takes the first piece of data and shelves what follows under a new number.
func (s *shelf) cut(size int, data []byte) Reading {
	if len(data) <= s.piece {
		return Reading{Size: size, Data: data}
	}
	s.last++
	s.left[s.last] = data[s.piece:]
	s.order = append(s.order, s.last)
	s.bytes += len(data) - s.piece
	for len(s.order) > 1 && (len(s.order) > shelfPlaces || s.bytes > shelfBytes) {
		s.drop(s.order[0])
	}
	return Reading{Size: size, Data: data[:s.piece], Rest: s.last}
}

func (s *shelf) drop(id uint64) {
	s.bytes -= len(s.left[id])
	delete(s.left, id)
	for i, o := range s.order {
		if o == id {
			s.order = append(s.order[:i], s.order[i+1:]...)
			return
		}
	}
}
