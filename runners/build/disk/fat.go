package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// The EFI system partition is FAT16 with clusters of one sector, the smallest
// that every reader takes for FAT16 (Microsoft's FAT specification 1.03: from 4085
// clusters). go-diskfs knows only FAT32, which takes 33 MiB at least.
const (
	fatMinClusters = 8192
	fatMaxClusters = 65524
	fatSlack       = 64 // clusters left free
	fatRootEntries = 512
	fatFolders     = 2 // EFI and EFI/BOOT take a cluster each
	// maxLoader is what fits, in bytes.
	maxLoader = (fatMaxClusters - fatFolders - fatSlack) * sectorSize
)

// fat is a file system that holds one file, EFI/BOOT/name.
type fat struct {
	name     string // 8.3
	content  []byte
	clusters int // of data
}

func newFAT(name string, content []byte) (*fat, error) {
	if len(content) == 0 || len(content) > maxLoader {
		return nil, fmt.Errorf("%d bytes: want 1 to %d", len(content), maxLoader)
	}
	need := fatFolders + sectorsOf(len(content)) + fatSlack
	return &fat{name: name, content: content, clusters: max(need, fatMinClusters)}, nil
}

func sectorsOf(n int) int { return (n + sectorSize - 1) / sectorSize }

// tableSectors is the size of one file allocation table.
func (f *fat) tableSectors() int { return sectorsOf(2 * (f.clusters + 2)) }

// dataSector is where cluster 2, the first, lies: behind the boot sector, two
// tables and the root folder.
func (f *fat) dataSector() int { return 1 + 2*f.tableSectors() + fatRootEntries*32/sectorSize }

func (f *fat) sectors() int { return f.dataSector() + f.clusters }

// size in bytes.
func (f *fat) size() int64 { return int64(f.sectors()) * sectorSize }

// bytes is the file system. Cluster 2 is EFI, 3 is EFI/BOOT, 4 and up the file.
func (f *fat) bytes() []byte {
	b := make([]byte, f.size())
	f.bootSector(b)
	table := make([]byte, f.tableSectors()*sectorSize)
	le := binary.LittleEndian
	le.PutUint16(table[0:], 0xfff8) // the media byte
	const end = 0xffff
	for _, cluster := range []int{1, 2, 3} {
		le.PutUint16(table[2*cluster:], end)
	}
	last := 3 + sectorsOf(len(f.content))
	for cluster := 4; cluster < last; cluster++ {
		le.PutUint16(table[2*cluster:], uint16(cluster+1))
	}
	le.PutUint16(table[2*last:], end)
	copy(b[sectorSize:], table)
	copy(b[sectorSize+len(table):], table)

	root := b[sectorSize+2*len(table):]
	putEntry(root, "EFI", 2, -1)
	efi, boot := b[f.dataSector()*sectorSize:], b[(f.dataSector()+1)*sectorSize:]
	putEntry(efi, ".", 2, -1)
	putEntry(efi[32:], "..", 0, -1) // the root is cluster 0
	putEntry(efi[64:], "BOOT", 3, -1)
	putEntry(boot, ".", 3, -1)
	putEntry(boot[32:], "..", 2, -1)
	putEntry(boot[64:], f.name, 4, len(f.content))
	copy(b[(f.dataSector()+2)*sectorSize:], f.content)
	return b
}

// bootSector writes the BIOS parameter block. The volume's serial number is
// drawn from the content.
func (f *fat) bootSector(b []byte) {
	le := binary.LittleEndian
	copy(b, []byte{0xeb, 0x3c, 0x90})
	copy(b[3:], "HEADWTCH")
	le.PutUint16(b[11:], sectorSize)
	b[13] = 1               // sectors in a cluster
	le.PutUint16(b[14:], 1) // reserved sectors
	b[16] = 2               // tables
	le.PutUint16(b[17:], fatRootEntries)
	if n := f.sectors(); n < 1<<16 {
		le.PutUint16(b[19:], uint16(n))
	} else {
		le.PutUint32(b[32:], uint32(n))
	}
	b[21] = 0xf8 // fixed disk
	le.PutUint16(b[22:], uint16(f.tableSectors()))
	le.PutUint16(b[24:], 63)    // sectors in a track, for nobody
	le.PutUint16(b[26:], 255)   // heads
	le.PutUint32(b[28:], align) // sectors before the partition
	b[36] = 0x80                // BIOS drive
	b[38] = 0x29                // the three fields that follow are there
	sum := sha256.Sum256(f.content)
	copy(b[39:], sum[:4])
	copy(b[43:], "NO NAME    ")
	copy(b[54:], "FAT16   ")
	b[510], b[511] = 0x55, 0xaa
}

// putEntry writes a folder's entry: a folder when size is negative.
func putEntry(b []byte, name string, cluster, size int) {
	copy(b[:11], "           ")
	if name == "." || name == ".." {
		copy(b, name)
	} else {
		i := 0
		for _, c := range []byte(name) {
			if c == '.' {
				i = 8
				continue
			}
			b[i] = c
			i++
		}
	}
	date := time.Unix(epoch, 0).UTC()
	day := uint16(date.Year()-1980)<<9 | uint16(date.Month())<<5 | uint16(date.Day())
	le := binary.LittleEndian
	for _, at := range []int{16, 18, 24} { // created, read, written; always at midnight
		le.PutUint16(b[at:], day)
	}
	le.PutUint16(b[26:], uint16(cluster))
	if size < 0 {
		b[11] = 0x10 // folder
		return
	}
	b[11] = 0x20 // archive
	le.PutUint32(b[28:], uint32(size))
}
