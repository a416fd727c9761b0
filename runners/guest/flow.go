package guest

import (
	"errors"
	"fmt"
	"sync"
)

// Bounds of Hello.Window, in bytes.
const (
	minWindow = 256
	maxWindow = 1 << 20
	// wideWindow is for channels that make a writer wait instead of losing bytes.
	wideWindow = 256 << 10
)

// ErrCredit says that an agent acknowledged what it cannot have read.
var ErrCredit = errors.New("agent acknowledges what it was not sent")

// counts reports whether a host's frame takes room in the window. Hello requests
// come before there is one, and the end marker's return when nobody gives credit
// any more: a channel must have room for these beside its window.
func counts(typ frameType) bool { return typ != typeHelloRequest && typ != typeBye }

// pieceSize is the largest payload of a frame that counts, and exactly that of a
// typePart. A frame of half a window always fits sooner or later, for an agent
// keeps credit back only while it is less than the other half.
func pieceSize(window int) int { return window/2 - headerSize }

// window is how much of what the host has sent the agent has not yet read. The
// zero value is closed.
type window struct {
	freed chan struct{} // holds a token after give

	mu     sync.Mutex
	size   int // bytes
	flying int // bytes sent and not acknowledged, at most size
}

func (w *window) open(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.size = size
}

// take makes room for n more bytes, or reports that there is none.
func (w *window) take(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > w.size-w.flying {
		return false
	}
	w.flying += n
	return true
}

// give takes an acknowledgement of n bytes. Less than half a window is not for an
// agent to send: that bounds how many there can be.
func (w *window) give(n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < w.size/2 || n > w.flying {
		return fmt.Errorf("%w: %d bytes, with %d on the way and a window of %d", ErrCredit, n, w.flying, w.size)
	}
	w.flying -= n
	select {
	case w.freed <- struct{}{}:
	default: // a token is there already
	}
	return nil
}

// receipt is the agent's end of a window: what it has read and not acknowledged.
type receipt struct{ window, unsaid int }

// read counts n bytes and returns what is to be acknowledged now; 0: nothing yet.
func (r *receipt) read(n int) int {
	r.unsaid += n
	if r.unsaid < r.window/2 {
		return 0
	}
	n, r.unsaid = r.unsaid, 0
	return n
}

// pieces is a long message on its way out.
type pieces struct {
	rest []byte
	size int // of a piece
}

// next returns the frame of the next piece; last says that it is the last one.
func (p *pieces) next() (b []byte, last bool, err error) {
	typ, n := typePart, p.size
	if n >= len(p.rest) {
		typ, n = typeLast, len(p.rest)
	}
	b, err = encodeFrame(typ, p.rest[:n])
	p.rest = p.rest[n:]
	return b, typ == typeLast, err
}

// assembly is a long message on its way in.
type assembly struct {
	size int // of a piece
	got  []byte
}

// add takes a piece and returns the payload of a whole message with the last one.
func (a *assembly) add(f frame) (whole []byte, done bool, err error) {
	switch {
	case f.typ == typePart && len(f.payload) != a.size:
		return nil, false, fmt.Errorf("%w: piece of %d bytes, not %d", ErrMessage, len(f.payload), a.size)
	case f.typ == typeLast && (len(a.got) == 0 || len(f.payload) == 0 || len(f.payload) > a.size):
		return nil, false, fmt.Errorf("%w: last piece of %d bytes after %d, pieces have %d", ErrMessage, len(f.payload), len(a.got), a.size)
	case len(a.got)+len(f.payload) > MaxPayload:
		return nil, false, fmt.Errorf("%w: pieces of more than %d bytes", ErrFrameSize, MaxPayload)
	}
	a.got = append(a.got, f.payload...)
	if f.typ == typePart {
		return nil, false, nil
	}
	whole = a.got
	a.got = nil
	return whole, true, nil
}
