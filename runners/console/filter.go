package console

import (
	"encoding/binary"
	"strings"
)

// filter finds out at memory speed that no word of a set is in a text. It looks
// at every fourth byte only: the four bytes from there (a gram) are hashed into a
// table of bits that holds, for a window of seven bytes of each word, the four
// grams that a look at every fourth byte can meet. Only where the bit is set the
// words themselves are compared. A word may have five or six bytes; what is beside
// it is then taken to be anything.
type filter struct {
	bits  [1 << (gramBits - 6)]uint64
	slots []slot // an open hash table of 1<<slotBits; the grams' places
	words []string
}

// slot is a gram and a place where it is found. Further ones of the same gram are
// in the slots behind it.
type slot struct {
	gram uint32
	used bool
	place
}

// place says that a gram is found off bytes after the start of a word. off is -1
// where the gram begins with the byte before it.
type place struct {
	word int16
	off  int8
}

const (
	stride   = 4
	window   = stride + 3 // each alignment of a gram falls into it
	gramBits = 17         // 16 KiB of bits: in the first cache
	slotBits = 13         // at most half of the slots are to be used
	minWord  = window - 2 // one byte on either side can be anything
	hashMul  = 2654435761 // Knuth's multiplicative hash, 2^32 over the golden ratio
)

// newFilter makes a filter of words of at least minWord bytes without line breaks.
func newFilter(words []string) *filter {
	f := &filter{slots: make([]slot, 1<<slotBits), words: words}
	used := 0
	for i, w := range words {
		if len(w) < minWord || strings.ContainsAny(w, "\r\n\x00\x1b") {
			panic("console: word unfit for the filter: " + w)
		}
		first := rarest(w)
		for off := first; off < first+stride; off++ {
			used += f.addGrams(w, i, off)
		}
	}
	if used > len(f.slots)/2 {
		panic("console: more grams than the filter is made for")
	}
	return f
}

// rarest returns where the window of w begins whose grams are least likely in
// ordinary text; -1 for a word that is shorter than a window.
func rarest(w string) int {
	best, least := -1, 5.0
	for first := 0; first+window <= len(w); first++ {
		sum := 0.0
		for off := first; off < first+stride; off++ {
			sum += likely(w[off]) * likely(w[off+1]) * likely(w[off+2]) * likely(w[off+3])
		}
		if sum < least {
			best, least = first, sum
		}
	}
	return best
}

// likely is about how often a byte is c in the output of a boot.
func likely(c byte) float64 {
	switch {
	case strings.IndexByte(" etaionsr", c) >= 0:
		return .08
	case strings.IndexByte("dlcumpgf", c) >= 0:
		return .04
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return .02
	}
	return .005
}

// addGrams enters the gram at off of the i-th word, with every value for a byte
// outside of the word, and returns how many that were.
func (f *filter) addGrams(w string, i, off int) int {
	var gram [4]byte
	open := -1 // the one byte that is outside
	for k := range gram {
		if at := off + k; at < 0 || at >= len(w) {
			open = k
		} else {
			gram[k] = w[at]
		}
	}
	values := 1
	if open >= 0 {
		values = 256
	}
	for v := range values {
		if open >= 0 {
			gram[open] = byte(v)
		}
		g := binary.LittleEndian.Uint32(gram[:])
		h := g * hashMul
		f.bits[h>>(32-gramBits+6)] |= 1 << (h >> (32 - gramBits) & 63)
		n := h >> (32 - slotBits)
		for f.slots[n].used {
			n = (n + 1) % (1 << slotBits)
		}
		f.slots[n] = slot{gram: g, used: true, place: place{int16(i), int8(off)}}
	}
	return values
}

func (f *filter) bit(g uint32) uint64 {
	h := g * hashMul
	return f.bits[h>>(32-gramBits+6)] >> (h >> (32 - gramBits) & 63)
}

// find returns where a word begins in p at or after from, -1 when there is none.
// It is the first line's that holds one, and not always that line's first.
func (f *filter) find(p []byte, from int) int {
	i := from
	for ; i+16 <= len(p); i += 16 {
		q := p[i : i+16 : i+16]
		a, b := binary.LittleEndian.Uint64(q), binary.LittleEndian.Uint64(q[8:])
		if (f.bit(uint32(a))|f.bit(uint32(a>>32))|f.bit(uint32(b))|f.bit(uint32(b>>32)))&1 == 0 {
			continue
		}
		for k := i; k < i+16; k += stride {
			if at := f.at(p, k, from); at >= 0 {
				return at
			}
		}
	}
	for ; i < len(p); i += stride {
		if at := f.at(p, i, from); at >= 0 {
			return at
		}
	}
	return -1
}

// at compares the words that have the gram at p[i:]. Behind the end of p are
// zeros.
func (f *filter) at(p []byte, i, from int) int {
	var g uint32
	if i+4 <= len(p) {
		g = binary.LittleEndian.Uint32(p[i:])
	} else {
		for k := len(p) - 1; k >= i; k-- {
			g = g<<8 | uint32(p[k])
		}
	}
	if f.bit(g)&1 == 0 {
		return -1
	}
	for n := g * hashMul >> (32 - slotBits); f.slots[n].used; n = (n + 1) % (1 << slotBits) {
		s := &f.slots[n]
		if s.gram != g {
			continue
		}
		w, start := f.words[s.word], i-int(s.off)
		if start >= from && start+len(w) <= len(p) && string(p[start:start+len(w)]) == w {
			return start
		}
	}
	return -1
}

// has says whether a word is in s.
func (f *filter) has(s []byte) bool { return f.find(s, 0) >= 0 }
