package qemu

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
)

const (
	page      = 4096
	readPages = 256 // at a time
)

// transfer copies a file, leaving pages of zeros as holes, and returns the digest
// of what it copied: SHA-256 over the size and, for each page that is not all
// zeros, its offset and the page. So it costs what the file holds, not its size,
// and holes that become data, or the other way round, make no difference.
func transfer(to, from *os.File) (string, error) {
	st, err := from.Stat()
	if err != nil {
		return "", err
	}
	size := st.Size()
	if err := to.Truncate(size); err != nil {
		return "", err
	}
	sum := sha256.New()
	put := func(n int64) { sum.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	put(size)
	buf := make([]byte, readPages*page)
	for at := int64(0); at < size; {
		start, end, err := nextData(from, at, size)
		if err != nil {
			return "", err
		}
		for at = start &^ (page - 1); at < end; {
			b := buf[:min(int64(len(buf)), size-at)]
			if _, err := from.ReadAt(b, at); err != nil {
				return "", fmt.Errorf("read %s at %d: %w", from.Name(), at, err)
			}
			for len(b) > 0 {
				p := b[:min(page, len(b))]
				b = b[len(p):]
				if !zero(p) {
					put(at)
					sum.Write(p)
					if _, err := to.WriteAt(p, at); err != nil {
						return "", err
					}
				}
				at += int64(len(p))
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// zero says whether a page holds nothing.
func zero(p []byte) bool {
	for len(p) >= 8 {
		if binary.NativeEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
