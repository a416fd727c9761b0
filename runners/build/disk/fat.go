package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
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
	fatMaxFolders  = 4 // EFI and those in it, a cluster each
	// maxFAT is what fits, in bytes.
	maxFAT = (fatMaxClusters - fatMaxFolders - fatSlack) * sectorSize
)

// fat is a file system with a folder EFI.
type fat struct {
	files    []fatFile
	folders  []string // in EFI
	clusters int      // of data
}

// fatFile is EFI/folder/name, in capitals, name of the form 8.3.
type fatFile struct {
	folder, name string
	content      []byte
}

func newFAT(files ...fatFile) (*fat, error) {
	f := &fat{files: files}
	need := 1 + fatSlack
	size := 0
	for _, file := range files {
		if len(file.content) == 0 {
			return nil, fmt.Errorf("%s is empty", file.name)
		}
		if !slices.Contains(f.folders, file.folder) {
			f.folders = append(f.folders, file.folder)
			need++
		}
		need += sectorsOf(len(file.content))
		size += len(file.content)
	}
	if need > fatMaxClusters || len(f.folders) > fatMaxFolders-1 {
		return nil, fmt.Errorf("%d bytes: at most %d", size, maxFAT)
	}
	f.clusters = max(need, fatMinClusters)
	return f, nil
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

// bytes is the file system. Cluster 2 is EFI, then come its folders, then the files.
func (f *fat) bytes() []byte {
	b := make([]byte, f.size())
	f.bootSector(b)
	table := make([]byte, f.tableSectors()*sectorSize)
	le := binary.LittleEndian
	le.PutUint16(table, 0xfff8)     // the media byte
	le.PutUint16(table[2:], fatEnd) // reserved
	next := 2
	take := func(clusters int) (first int, data []byte) {
		first = next
		for next += clusters; clusters > 1; clusters-- {
			le.PutUint16(table[2*(next-clusters):], uint16(next-clusters+1))
		}
		le.PutUint16(table[2*(next-1):], fatEnd)
		return first, b[(f.dataSector()+first-2)*sectorSize:]
	}
	root := b[sectorSize+2*len(table):]
	at, efi := take(1)
	putEntry(root, "EFI", at, -1)
	putFolder(efi, at, 0) // the root is cluster 0
	for i, name := range f.folders {
		own, entries := take(1)
		putEntry(efi[(2+i)*32:], name, own, -1)
		putFolder(entries, own, at)
		f.put(name, entries[2*32:], take)
	}
	copy(b[sectorSize:], table)
	copy(b[sectorSize+len(table):], table)
	return b
}

const fatEnd = 0xffff // of a chain of clusters

// put writes the files of a folder, and their entries.
func (f *fat) put(folder string, entries []byte, take func(int) (int, []byte)) {
	for _, file := range f.files {
		if file.folder != folder {
			continue
		}
		at, data := take(sectorsOf(len(file.content)))
		copy(data, file.content)
		putEntry(entries, file.name, at, len(file.content))
		entries = entries[32:]
	}
}

// putFolder starts a folder with the entries for itself and its parent.
func putFolder(b []byte, own, parent int) {
	putEntry(b, ".", own, -1)
	putEntry(b[32:], "..", parent, -1)
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
	sum := sha256.New()
	for _, file := range f.files {
		sum.Write(file.content)
	}
	copy(b[39:], sum.Sum(nil)[:4])
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
