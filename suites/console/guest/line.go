package guest

import (
	"encoding/binary"
	"fmt"
)

// What a writer says is made of bytes that nobody else says: of the 128 above ASCII each
// of five writers has 25. So a stream in which writers and the kernel interrupt each
// other can be taken apart byte by byte, whatever it was cut into, and each writer's part
// compared with what it wrote.
const (
	firstByte = 0x80
	symbols   = 25 // of a writer
	lineEnd   = 24 // the symbol behind a line
	padFirst  = 16 // symbols of padding, up to lineEnd
	maxPad    = 9
	digits    = 5 // hexadecimal, of a line's number
)

// MaxLine is more than any line has, in bytes.
const MaxLine = digits + maxPad + 1

// Line appends line number seq of a writer: its number, padding that follows from seed
// and number, and an end that no other line has in its middle.
func Line(b []byte, seed uint64, writer, seq int) []byte {
	base := byte(firstByte + symbols*writer)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, base+byte(seq>>shift&15))
	}
	x := mix(seed+uint64(writer), uint64(seq))
	for n := x % (maxPad + 1); n > 0; n-- {
		x = x*6364136223846793005 + 1442695040888963407 // MMIX's, by Knuth
		b = append(b, base+padFirst+byte(x>>33%(lineEnd-padFirst)))
	}
	return append(b, base+lineEnd)
}

// WriterOf says whose byte it is, and which of its symbols; -1: nobody's.
func WriterOf(b byte) (writer int, symbol byte) {
	if b < firstByte {
		return -1, b
	}
	if writer = int(b-firstByte) / symbols; writer >= MaxWriters {
		return -1, b
	}
	return writer, (b - firstByte) % symbols
}

// Ends says whether a writer's symbol ends a line.
func Ends(symbol byte) bool { return symbol == lineEnd }

// Number reads the number of a line from its symbols; -1: it has none.
func Number(line []byte) int {
	if len(line) < digits {
		return -1
	}
	n := 0
	for _, b := range line[:digits] {
		_, symbol := WriterOf(b)
		if symbol >= padFirst {
			return -1
		}
		n = n<<4 | int(symbol)
	}
	return n
}

// Message is a numbered line for the kernel to say: a thread's number, the line's, and a
// sum of both by which a torn one is known.
func Message(seed uint64, thread, seq int) string {
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], mix(seed, uint64(thread)<<32|uint64(seq)))
	return fmt.Sprintf("headwatch-says %02d %06d %x.", thread, seq, word[:4])
}

// mix is splitmix64 (Steele, Lea, Flood 2014).
func mix(seed, i uint64) uint64 {
	z := seed + (i+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
