package artifacts

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// MetalogName is the file in a tree's folder that says what its files are.
const MetalogName = "METALOG"

// Limits bound what sets may unpack to. Zero values mean the default.
type Limits struct {
	Entries int   // 500,000
	File    int64 // bytes of one file; 2 GiB
	Total   int64 // bytes; 16 GiB
}

// LoaderFiles are what of base.txz a disk needs to boot a kernel that starts its
// own first program. loader.efi is a second name of one of the others.
var LoaderFiles = []string{
	"boot/loader.efi", "boot/loader_lua.efi", "boot/loader_4th.efi", "boot/loader_simp.efi",
	"boot/lua", "boot/defaults", "boot/device.hints", "boot/fonts",
	"etc/master.passwd", "etc/group",
}

// KernelFiles are the kernel and its modules of kernel.txz.
var KernelFiles = []string{"boot/kernel"}

// Tree unpacks sets into one folder, without privileges: the folder holds the
// content of regular files, readable by all and nothing more, and Finish writes
// beside them a METALOG of the form that `installworld -DNO_ROOT` leaves, with
// owners, modes and flags for makefs(8). Symbolic links are only in the METALOG:
// nothing in the folder leads out of it. A Tree is not safe for concurrent use.
type Tree struct {
	dir     string
	root    *os.Root
	limits  Limits
	nodes   map[string]node // by path, without "./"; "." is the root
	total   int64
	entries int
}

// NewTree makes the folder dir, which must not hold anything, and unpacks there.
// The caller closes the tree.
func NewTree(dir string, limits Limits) (*Tree, error) {
	if limits.Entries == 0 {
		limits.Entries = 500_000
	}
	if limits.File == 0 {
		limits.File = 2 << 30
	}
	if limits.Total == 0 {
		limits.Total = 16 << 30
	}
	err := os.MkdirAll(dir, 0o755)
	if err != nil {
		return nil, fault("unpack", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		return nil, fault("unpack", errors.Join(err, fmt.Errorf("%s is not an empty folder", dir)))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault("unpack", err)
	}
	t := &Tree{dir: dir, root: root, limits: limits, nodes: make(map[string]node)}
	t.nodes["."] = folder
	return t, nil
}

// Close lets go of the folder, which stays.
func (t *Tree) Close() error { return t.root.Close() }

// Add unpacks a set, such as kernel.txz, and returns how many entries it took.
// only names the files and folders to take, without a leading slash; none means
// all. An entry that is there already, from this set or one before, is replaced.
//
// It returns a *DamagedError for a set that is not whole, is hostile, or has
// nothing of what is wanted, and a *runners.InfraError for what the rig cannot
// do; then the tree is of no use.
func (t *Tree) Add(ctx context.Context, set string, only ...string) (taken int, err error) {
	defer func() { err = fault("unpack "+set, err) }()
	p, err := openPacked(ctx, set)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	// A header costs at most some KiB, so that the limit on what is unpacked can
	// stand for the limit on what is written.
	plain := &capped{p, t.limits.Total + 16<<10*int64(t.limits.Entries)}
	archive := tar.NewReader(plain)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			taken, err = t.take(h, archive, only, taken)
		}
		if err != nil {
			return taken, t.blame(set, h, err)
		}
	}
	// The end of the archive is not the end of the file, which proves it whole.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return taken, err
	}
	if taken == 0 {
		return 0, &DamagedError{File: set, Problem: "has nothing of " + strings.Join(only, ", ")}
	}
	return taken, nil
}

// hostile is what is wrong with an entry of an archive.
type hostile string

func (h hostile) Error() string { return string(h) }

// blame makes errors of the archive a *DamagedError and leaves those of disks.
func (t *Tree) blame(set string, h *tar.Header, err error) error {
	var bad hostile
	switch {
	case errors.As(err, &bad):
		return &DamagedError{File: set, Problem: fmt.Sprintf("entry %.200q: %v", h.Name, bad)}
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, io.ErrUnexpectedEOF):
		return damaged(set, err)
	}
	return err
}

// take unpacks one entry, if it is wanted.
func (t *Tree) take(h *tar.Header, content io.Reader, only []string, taken int) (int, error) {
	name, err := entryName(h.Name)
	if err != nil {
		return taken, err
	}
	if t.entries++; t.entries > t.limits.Entries {
		return taken, hostile(fmt.Sprintf("more than %d entries", t.limits.Entries))
	}
	if !wanted(name, h.Typeflag == tar.TypeDir, only) {
		return taken, nil
	}
	n, err := nodeOf(h)
	if err != nil {
		return taken, err
	}
	if err := t.parents(name); err != nil {
		return taken, err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = t.dirEntry(name, n)
	case tar.TypeReg:
		err = t.file(name, n, content)
	case tar.TypeSymlink:
		if err = t.replace(name); err == nil {
			t.nodes[name] = n
		}
	case tar.TypeLink:
		err = t.hardLink(name, h.Linkname)
	default:
		err = hostile("neither file, folder nor link")
	}
	// Folders on the way to what is wanted are not what is wanted.
	if err == nil && (len(only) == 0 || !leadsTo(name, only)) {
		taken++
	}
	return taken, err
}

// entryName cleans "./a/b" and refuses what leads out.
func entryName(s string) (string, error) {
	name := path.Clean(s)
	switch {
	case len(s) > 1024:
		return "", hostile("a name of more than 1024 bytes")
	case s == "" || path.IsAbs(name) || !filepath.IsLocal(name) || strings.ContainsRune(name, 0):
		return "", hostile("a name that leads out of the folder")
	case name == MetalogName:
		return "", hostile("a name that is kept for headwatch's own list")
	}
	return name, nil
}

// wanted says whether an entry is taken: what only names, what is below that,
// and the folders above it, for their modes.
func wanted(name string, dir bool, only []string) bool {
	return len(only) == 0 || dir && leadsTo(name, only) || slices.ContainsFunc(only, func(o string) bool {
		return name == o || strings.HasPrefix(name, o+"/")
	})
}

func leadsTo(name string, only []string) bool {
	return slices.ContainsFunc(only, func(o string) bool { return name == "." || strings.HasPrefix(o, name+"/") })
}

// Finish writes the METALOG and returns its path. It may be called again after
// further sets.
func (t *Tree) Finish() (string, error) {
	name := filepath.Join(t.dir, MetalogName)
	err := renameio.WriteFile(name, metalog(t.nodes), 0o644, renameio.WithTempDir(t.dir))
	return name, fault("unpack", err)
}
