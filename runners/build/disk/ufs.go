package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners"
)

const (
	// Blocks of 32 KiB, as newfs(8) makes them, let the loader read a kernel in
	// fewer requests than makefs's 8 KiB.
	blockSize    = 32 << 10
	fragmentSize = 4 << 10
	directBlocks = 12       // of an inode; what lies behind them needs indirect blocks
	perIndirect  = 8 << 10  // blocks that one indirect block names
	inodeSize    = 128      // UFS version 1
	minRoot      = 4 << 20  // bytes
	rootUnit     = 1 << 20  // bytes; sizes are multiples of it
	bytesPerFree = 16 << 10 // one free inode for so many free bytes
	spareInodes  = 64
	maxSaid      = 4 << 10 // bytes kept of what makefs says
	// maxComplaints is how many of its lines make an error.
	maxComplaints = 2
)

// makefsPlaces are looked through after PATH, which for many users has no sbin.
var makefsPlaces = []string{"", "/usr/sbin", "/sbin", "/usr/local/sbin"}

type makefs struct{ binary string }

// findMakefs looks for makefs in folders; "" stands for PATH.
func findMakefs(places ...string) (makefs, error) {
	for _, dir := range places {
		if path, err := exec.LookPath(filepath.Join(dir, "makefs")); err == nil {
			return makefs{path}, nil
		}
	}
	return makefs{}, &runners.InfraError{
		Op: "find makefs", Err: exec.ErrNotFound,
		Hint: "run make setup, or install Debian's package makefs (FreeBSD has it in its base system)",
	}
}

// blocksOf is what a file of so many bytes takes.
func blocksOf(size int64) int64 {
	if size <= directBlocks*blockSize {
		return (size + fragmentSize - 1) / fragmentSize * fragmentSize
	}
	blocks := (size + blockSize - 1) / blockSize
	indirect := 2 + blocks/perIndirect
	return (blocks + indirect) * blockSize
}

// rootSize is the size of a file system for t, ample: what stays empty is a hole.
func rootSize(t *tree, free int64) int64 {
	content := t.need + free + int64(len(t.entries))*2*inodeSize + free/bytesPerFree*inodeSize
	size := content + content/8 + minRoot // cylinder groups' own blocks
	return (size + rootUnit - 1) / rootUnit * rootUnit
}

// makefsArgs is the command line, in words that both makefs understand. Debian's
// writes UFS version 2 with its superblock where the loader does not look, so
// version 1 it is.
func makefsArgs(image, spec, root string, size, free int64) []string {
	return []string{
		"-t", "ffs", "-B", "little",
		"-o", fmt.Sprintf("version=1,bsize=%d,fsize=%d,minfree=0,optimization=time", blockSize, fragmentSize),
		"-s", strconv.FormatInt(size, 10),
		"-f", strconv.FormatInt(spareInodes+free/bytesPerFree, 10),
		"-T", strconv.Itoa(epoch),
		"-x", "-F", spec,
		image, root,
	}
}

// run makes a file system of t in the file image, with its specification beside
// it in the folder work.
func (m makefs) run(ctx context.Context, image, work string, t *tree, free int64, log io.Writer) error {
	spec := filepath.Join(work, "spec")
	if err := os.WriteFile(spec, specification(t.entries), 0o600); err != nil {
		return err
	}
	args := makefsArgs(image, spec, t.dir, rootSize(t, free), free)
	fmt.Fprintf(log, "root: %d files and folders, %d bytes\nmakefs %s\n", len(t.entries), t.need, strings.Join(args, " "))
	said := &complaint{}
	out := io.MultiWriter(log, said)
	cmd := exec.CommandContext(ctx, m.binary, args...)
	cmd.Dir = work
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "SOURCE_DATE_EPOCH=" + strconv.Itoa(epoch)}
	cmd.Stdout, cmd.Stderr = out, out // the same, so that exec takes care of the order
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		if words := said.String(); words != "" {
			err = errors.New(words)
		}
		return &runners.InfraError{Op: "make the root file system with " + m.binary, Err: err}
	}
	return forgetPointers(image)
}

// complaint keeps the end of what makefs says, of bounded length.
type complaint struct{ b []byte }

func (c *complaint) Write(p []byte) (int, error) {
	c.b = append(c.b, p...)
	if n := len(c.b) - maxSaid; n > 0 {
		c.b = append(c.b[:0], c.b[n:]...)
	}
	return len(p), nil
}

// String is what makefs complained of, empty when it did not. Words of its
// progress may lie between.
func (c *complaint) String() string {
	var all []string
	for line := range strings.SplitSeq(string(c.b), "\n") {
		if words, ok := strings.CutPrefix(line, "makefs: "); ok {
			all = append(all, words)
		}
	}
	return strings.Join(all[max(0, len(all)-maxComplaints):], "; ")
}

// Where a superblock's fields lie, in bytes (struct fs of FreeBSD's
// sys/ufs/ffs/fs.h, whose offsets are those of the disk).
const (
	superblockAt   = 8192 // UFS version 1
	superblockSize = 1376
	sbBlockNumber  = 8   // fs_sblkno: the copy's place in a cylinder group, in fragments
	sbGroupOffset  = 24  // fs_old_cgoffset
	sbGroupMask    = 28  // fs_old_cgmask
	sbGroups       = 44  // fs_ncg
	sbFragment     = 52  // fs_fsize
	sbGroupSize    = 188 // fs_fpg, in fragments
	sbPointers     = 728 // fs_ocsp and what follows, to fs_old_cpc
	sbPointersEnd  = 856
	sbChecks       = 1308 // fs_metackhash: which structures carry a checksum
	sbMagic        = 1372
	magicUFS1      = 0x011954
	maxGroups      = 1 << 16
)

// forgetPointers clears what makefs left of its own memory in every superblock:
// pointers that mean something only in a running kernel, and would make every
// image another.
func forgetPointers(image string) (err error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	places, err := superblocks(f)
	if err != nil {
		return fmt.Errorf("what makefs wrote: %w", err)
	}
	for _, at := range places {
		if _, err := f.WriteAt(make([]byte, sbPointersEnd-sbPointers), at+sbPointers); err != nil {
			return err
		}
	}
	return nil
}

// superblocks finds the superblock and its copies, one in each cylinder group.
func superblocks(r io.ReaderAt) ([]int64, error) {
	sb, err := readSuperblock(r, superblockAt)
	if err != nil {
		return nil, err
	}
	field := func(at int) int64 { return int64(int32(binary.LittleEndian.Uint32(sb[at:]))) }
	groups := field(sbGroups)
	if groups < 1 || groups > maxGroups {
		return nil, fmt.Errorf("superblock: %d cylinder groups", groups)
	}
	places := []int64{superblockAt}
	for g := range groups {
		start := g*field(sbGroupSize) + field(sbGroupOffset)*(g&^field(sbGroupMask))
		at := (start + field(sbBlockNumber)) * field(sbFragment)
		if _, err := readSuperblock(r, at); err != nil {
			return nil, fmt.Errorf("cylinder group %d: %w", g, err)
		}
		places = append(places, at)
	}
	return places, nil
}

func readSuperblock(r io.ReaderAt, at int64) ([]byte, error) {
	sb := make([]byte, superblockSize)
	if _, err := r.ReadAt(sb, at); err != nil {
		return nil, fmt.Errorf("superblock at %d: %w", at, err)
	}
	if magic := binary.LittleEndian.Uint32(sb[sbMagic:]); magic != magicUFS1 {
		return nil, fmt.Errorf("superblock at %d: magic %#x: want %#x", at, magic, magicUFS1)
	}
	if sums := binary.LittleEndian.Uint32(sb[sbChecks:]); sums != 0 {
		return nil, fmt.Errorf("superblock at %d: has checksums (%#x), which this cannot make anew", at, sums)
	}
	return sb, nil
}
