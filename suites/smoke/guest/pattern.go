package guest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Word is the i-th 64-bit word of the pattern of a seed: splitmix64 (Steele, Lea,
// Flood 2014), which gives any word without the ones before it.
func Word(seed uint64, i int) uint64 {
	z := seed + (uint64(i)+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Pattern is the first n bytes of the pattern of a seed, words little-endian.
func Pattern(seed uint64, n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = binary.LittleEndian.AppendUint64(b, Word(seed, i))
	}
	return b[:n]
}

// Digest is the SHA-256 of b in hex.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
