package linux

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// node is one entry of an archive. Its mode decides what it is: a directory, a
// regular file, a symbolic link or a character device.
type node struct {
	name         string // relative to the guest's root, slash-separated, clean
	mode         fs.FileMode
	size         int64  // bytes that open gives
	target       string // of a symbolic link
	major, minor int    // of a device
	open         func() (io.ReadCloser, error)
}

// Bits of the mode field of a cpio header, as in stat(2).
const (
	cpioDir     = 0o040000
	cpioRegular = 0o100000
	cpioSymlink = 0o120000
	cpioChar    = 0o020000
)

const (
	maxNodeName = 1024    // bytes; the kernel's limit is PATH_MAX
	maxNodeSize = 1 << 30 // bytes
	cpioBlock   = 512     // archives are padded to a multiple of it
)

// writeCPIO writes an archive in the "newc" format that Linux unpacks as an
// initial RAM file system (Documentation/driver-api/early-userspace/
// buffer-format.rst). The same nodes make the same bytes in whatever order they
// come: sorted by name, owned by root, dated 1970, inodes numbered from 1.
// Archives may follow each other in one file.
func writeCPIO(w io.Writer, nodes []node) error {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b node) int { return cmp.Compare(a.name, b.name) })
	c := &cpioWriter{w: w}
	for i, n := range nodes {
		if i > 0 && nodes[i-1].name == n.name {
			return fmt.Errorf("archive: %s twice", n.name)
		}
		if err := c.node(n, i+1); err != nil {
			return fmt.Errorf("archive: %s: %w", n.name, err)
		}
	}
	if err := c.header("TRAILER!!!", 0, 0, 1, 0, node{}); err != nil {
		return err
	}
	return c.pad(cpioBlock)
}

type cpioWriter struct {
	w io.Writer
	n int64 // bytes written
}

func (c *cpioWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *cpioWriter) pad(to int64) error {
	_, err := c.Write(make([]byte, (to-c.n%to)%to))
	return err
}

func (c *cpioWriter) node(n node, ino int) error {
	if err := checkNodeName(n.name); err != nil {
		return err
	}
	perm := int(n.mode.Perm())
	if n.mode&fs.ModeSticky != 0 {
		perm |= 0o1000
	}
	switch n.mode.Type() {
	case fs.ModeDir:
		return c.header(n.name, ino, cpioDir|perm, 2, 0, n)
	case fs.ModeDevice | fs.ModeCharDevice:
		return c.header(n.name, ino, cpioChar|perm, 1, 0, n)
	case fs.ModeSymlink:
		if err := c.header(n.name, ino, cpioSymlink|0o777, 1, int64(len(n.target)), n); err != nil {
			return err
		}
		if _, err := io.WriteString(c, n.target); err != nil {
			return err
		}
		return c.pad(4)
	case 0:
		if err := c.header(n.name, ino, cpioRegular|perm, 1, n.size, n); err != nil {
			return err
		}
		return c.content(n)
	}
	return fmt.Errorf("cannot archive a %s", n.mode.Type())
}

// content copies a file, which must be of the size that its header says.
func (c *cpioWriter) content(n node) error {
	if n.size < 0 || n.size > maxNodeSize {
		return fmt.Errorf("%d bytes: at most %d", n.size, maxNodeSize)
	}
	r, err := n.open()
	if err != nil {
		return err
	}
	got, err := io.Copy(c, io.LimitReader(r, n.size+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if got != n.size {
		return fmt.Errorf("changed while it was read: expected %d bytes", n.size)
	}
	return c.pad(4)
}

// header writes a header: magic, then thirteen fields of eight hex digits, then
// the name.
func (c *cpioWriter) header(name string, ino, mode, links int, size int64, n node) error {
	_, err := fmt.Fprintf(c, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		ino, mode, 0 /*uid*/, 0 /*gid*/, links, 0 /*mtime*/, size, 0, 0, /*device*/
		n.major, n.minor, len(name)+1, 0 /*check*/, name)
	if err != nil {
		return err
	}
	return c.pad(4)
}

func checkNodeName(name string) error {
	if !fs.ValidPath(name) || name == "." || path.Clean(name) != name || strings.ContainsRune(name, 0) || len(name) > maxNodeName {
		return fmt.Errorf("%.80q is no name for a file of the guest", name)
	}
	return nil
}
