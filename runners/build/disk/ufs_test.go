package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

// reader reads UFS version 1, as much of it as the tests need (struct fs, struct
// ufs1_dinode and struct direct of FreeBSD's sys/ufs).
type reader struct {
	b                      []byte
	fsize, bsize           int
	fpg, ipg, iblkno, ncg  int
	freeBlocks, freeInodes int
	freeFragments          int
}

// node is what the file system holds below a path.
type node struct {
	mode             fs.FileMode
	uid, gid         int
	nlink, ino       int
	mtime            int
	atime, ctime     int
	link             string
	content          []byte
	generation, flag uint32
}

func openUFS(t *testing.T, b []byte) *reader {
	t.Helper()
	sb := b[superblockAt:]
	field := func(at int) int { return int(int32(binary.LittleEndian.Uint32(sb[at:]))) }
	if field(sbMagic) != magicUFS1 {
		t.Fatalf("magic %#x", field(sbMagic))
	}
	return &reader{
		b: b, iblkno: field(16), ncg: field(44), bsize: field(48), fsize: field(52), ipg: field(184), fpg: field(188),
		freeBlocks: field(196), freeInodes: field(200), freeFragments: field(204),
	}
}

func (r *reader) inode(n int) node {
	at := (n/r.ipg*r.fpg+r.iblkno)*r.fsize + n%r.ipg*inodeSize
	d := r.b[at : at+inodeSize]
	le := binary.LittleEndian
	mode := le.Uint16(d)
	out := node{
		mode: fileMode(uint32(mode & 0o7777)), nlink: int(le.Uint16(d[2:])), ino: n,
		atime: int(le.Uint32(d[16:])), mtime: int(le.Uint32(d[24:])), ctime: int(le.Uint32(d[32:])),
		flag: le.Uint32(d[100:]), generation: le.Uint32(d[108:]),
		uid: int(le.Uint32(d[112:])), gid: int(le.Uint32(d[116:])),
	}
	size := int(le.Uint64(d[8:]))
	switch mode & 0o170000 {
	case 0o040000:
		out.mode |= fs.ModeDir
	case 0o120000:
		out.mode |= fs.ModeSymlink
		if size < 60 {
			out.link = string(d[40 : 40+size])
			return out
		}
	}
	for i := range directBlocks {
		out.content = r.append(out.content, le.Uint32(d[40+4*i:]), size)
	}
	if indirect := int(le.Uint32(d[88:])); indirect != 0 {
		for i := 0; i < r.bsize/4 && len(out.content) < size; i++ {
			out.content = r.append(out.content, le.Uint32(r.b[indirect*r.fsize+4*i:]), size)
		}
	}
	if out.mode.Type() == fs.ModeSymlink {
		out.link, out.content = string(out.content), nil
	}
	return out
}

// append adds a block, or what of it belongs to a file of size bytes.
func (r *reader) append(content []byte, block uint32, size int) []byte {
	n := min(r.bsize, size-len(content))
	if n <= 0 {
		return content
	}
	if block == 0 {
		return append(content, make([]byte, n)...)
	}
	at := int(block) * r.fsize
	return append(content, r.b[at:at+n]...)
}

// walk lists everything by path.
func (r *reader) walk(t *testing.T) map[string]node {
	t.Helper()
	all := map[string]node{"/": r.inode(2)}
	var down func(dir string)
	down = func(dir string) {
		content := all[dir].content
		for at := 0; at < len(content); {
			ino := int(binary.LittleEndian.Uint32(content[at:]))
			length := int(binary.LittleEndian.Uint16(content[at+4:]))
			name := string(content[at+8 : at+8+int(content[at+7])])
			if length < 8 {
				t.Fatalf("%s: an entry of %d bytes", dir, length)
			}
			at += length
			if ino == 0 || name == "." || name == ".." {
				continue
			}
			p := path.Join(dir, name)
			all[p] = r.inode(ino)
			if all[p].mode.IsDir() {
				down(p)
			}
		}
	}
	down("/")
	return all
}

// rootOf cuts the root partition out of a disk.
func rootOf(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	e := b[2*sectorSize+entrySize:]
	if !bytes.Equal(e[:16], typeUFS[:]) {
		t.Fatalf("the second partition is of type %x", e[:16])
	}
	return b[binary.LittleEndian.Uint64(e[32:])*sectorSize : (binary.LittleEndian.Uint64(e[40:])+1)*sectorSize]
}

func TestBlocksOf(t *testing.T) {
	for size, want := range map[int64]int64{
		0: 0, 1: 4096, 4096: 4096, 4097: 8192,
		12 * blockSize:     12 * blockSize,
		12*blockSize + 1:   (13 + 2) * blockSize,
		512 << 20:          512<<20 + 4*blockSize,
		512<<20 - 12345678: (512<<20-12345678+blockSize-1)/blockSize*blockSize + 3*blockSize,
	} {
		if got := blocksOf(size); got != want {
			t.Errorf("%d: %d, want %d", size, got, want)
		}
	}
}

func TestMakefsArgs(t *testing.T) {
	got := strings.Join(makefsArgs("ufs", "spec", "root", 8<<20, 1<<20), " ")
	want := "-t ffs -B little -o version=1,bsize=32768,fsize=4096,minfree=0,optimization=time -s 8388608 -f 128 -T 1577836800 -x -F spec ufs root"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNoMakefs(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findMakefs("", t.TempDir())
	infra, ok := errors.AsType[*runners.InfraError](err)
	if !ok || !strings.Contains(infra.Hint, "Debian's package makefs") {
		t.Errorf("%T %v: want the package's name", err, err)
	}
}

func TestComplaint(t *testing.T) {
	c := &complaint{}
	fmt.Fprint(c, strings.Repeat("x", maxSaid), "\nmakefs: first\nmakefs: disk full\nCalculated size\nmakefs: not made\n")
	if got := c.String(); got != "disk full; not made" || len(c.b) > maxSaid {
		t.Errorf("%q of %d bytes", got, len(c.b))
	}
	if got := (&complaint{}).String(); got != "" {
		t.Errorf("%q", got)
	}
}

func TestSuperblocksOfGarbage(t *testing.T) {
	good := make([]byte, 64<<10)
	put := func(at int, v uint32) { binary.LittleEndian.PutUint32(good[superblockAt+at:], v) }
	put(sbMagic, magicUFS1)
	for _, c := range []struct {
		at    int
		value uint32
		want  string
	}{
		{sbGroups, 0, "0 cylinder groups"},
		{sbGroups, 1 << 30, "cylinder groups"},
		{sbGroups, 1, "cylinder group 0: superblock at 0: magic 0x0"},
		{sbBlockNumber, 1 << 20, "EOF"},
		{sbChecks, 1, "has checksums"},
		{sbMagic, 7, "magic 0x7"},
	} {
		put(sbFragment, 4096)
		put(c.at, c.value)
		if _, err := superblocks(bytes.NewReader(good)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
