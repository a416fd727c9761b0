package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"
)

const (
	sectorSize = 512
	entrySize  = 128
	entryCount = 128
	entryBytes = entrySize * entryCount
	align      = 1 << 20 / sectorSize // sectors; partitions start and end at whole MiB
	// reserved is what a table takes behind the partitions: entries and header.
	reserved = entryBytes/sectorSize + 1
)

// guid is a GUID as stored: the first three fields little-endian (UEFI
// specification 2.10, appendix A).
type guid [16]byte

var (
	// C12A7328-F81F-11D2-BA4B-00A0C93EC93B
	typeESP = guid{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}
	// 516E7CB6-6ECF-11D6-8FF8-00022D09712B, gpart(8)'s freebsd-ufs
	typeUFS = guid{0xb6, 0x7c, 0x6e, 0x51, 0xcf, 0x6e, 0xd6, 0x11, 0x8f, 0xf8, 0x00, 0x02, 0x2d, 0x09, 0x71, 0x2b}
)

// Labels of the partitions. FreeBSD offers the root as /dev/gpt/headwatch-root
// where the kernel has GEOM_LABEL.
const (
	labelESP  = "headwatch-efi"
	labelRoot = "headwatch-root"
)

// table is a GUID partition table (UEFI specification 2.10, 5.3). Sectors are
// counted from the start of the disk.
type table struct {
	sectors int64 // of the whole disk
	id      guid
	parts   []partition
}

type partition struct {
	kind        guid
	id          guid
	first, last int64
	label       string
}

// newTable places an EFI system partition and a root of the given sizes in
// bytes; no root when it has none. It has no identifiers yet.
func newTable(esp, root int64) *table {
	t := &table{}
	next := int64(align)
	place := func(kind guid, size int64, label string) {
		n := (size + align*sectorSize - 1) / (align * sectorSize) * align
		t.parts = append(t.parts, partition{kind: kind, first: next, last: next + n - 1, label: label})
		next += n
	}
	place(typeESP, esp, labelESP)
	if root > 0 {
		place(typeUFS, root, labelRoot)
	}
	t.sectors = next + align // a whole MiB for the second table
	return t
}

// identify draws the identifiers from a digest of what the disk holds.
func (t *table) identify(digest []byte) {
	t.id = drawGUID(digest, "disk")
	for i := range t.parts {
		t.parts[i].id = drawGUID(digest, t.parts[i].label)
	}
}

// drawGUID makes a GUID of version 8, "custom" (RFC 9562, 5.8).
func drawGUID(digest []byte, name string) guid {
	sum := sha256.Sum256(append(append([]byte(nil), digest...), name...))
	g := guid(sum[:16])
	g[7] = g[7]&0x0f | 0x80 // the version is in the third field, stored little-endian
	g[8] = g[8]&0x3f | 0x80
	return g
}

// bytes are the first sectors of the disk (protective MBR, header, entries) and
// its last (entries, header).
func (t *table) bytes() (head, tail []byte) {
	entries := make([]byte, entryBytes)
	for i, p := range t.parts {
		p.put(entries[i*entrySize:])
	}
	sum := crc32.ChecksumIEEE(entries)
	last := t.sectors - 1
	head = append(t.mbr(), t.header(1, last, 2, sum)...)
	head = append(head, entries...)
	tail = append(entries, t.header(last, 1, last-entryBytes/sectorSize, sum)...)
	return head, tail
}

// mbr says to those who know no GPT that the disk is in use.
func (t *table) mbr() []byte {
	b := make([]byte, sectorSize)
	e := b[446:]
	e[2] = 2                         // first sector, as cylinder, head, sector
	e[4] = 0xee                      // GPT protective
	e[5], e[6], e[7] = 255, 255, 255 // more than can be said so
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.sectors-1, 1<<32-1)))
	b[510], b[511] = 0x55, 0xaa
	return b
}

func (t *table) header(at, other, entries int64, entriesSum uint32) []byte {
	b := make([]byte, sectorSize)
	le := binary.LittleEndian
	copy(b, "EFI PART")
	le.PutUint32(b[8:], 0x10000) // revision 1.0
	le.PutUint32(b[12:], 92)     // size of the header
	le.PutUint64(b[24:], uint64(at))
	le.PutUint64(b[32:], uint64(other))
	le.PutUint64(b[40:], 2+entryBytes/sectorSize) // first sector for partitions
	le.PutUint64(b[48:], uint64(t.sectors-1-reserved))
	copy(b[56:], t.id[:])
	le.PutUint64(b[72:], uint64(entries))
	le.PutUint32(b[80:], entryCount)
	le.PutUint32(b[84:], entrySize)
	le.PutUint32(b[88:], entriesSum)
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:92])) // with the field itself zero
	return b
}

func (p partition) put(b []byte) {
	copy(b, p.kind[:])
	copy(b[16:], p.id[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(p.first))
	binary.LittleEndian.PutUint64(b[40:], uint64(p.last))
	for i, c := range utf16.Encode([]rune(p.label)) {
		binary.LittleEndian.PutUint16(b[56+2*i:], c)
	}
}
