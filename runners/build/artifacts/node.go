package artifacts

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// parents makes the folders above name that no entry made.
func (t *Tree) parents(name string) error {
	dir := path.Dir(name)
	if n, ok := t.nodes[dir]; ok {
		if n.kind != "dir" {
			return hostile(fmt.Sprintf("a name that passes through %s, which is no folder", dir))
		}
		return nil
	}
	if err := t.parents(dir); err != nil {
		return err
	}
	t.nodes[dir] = folder
	return t.root.Mkdir(dir, 0o755)
}

func (t *Tree) dirEntry(name string, n node) error {
	if old, ok := t.nodes[name]; ok {
		if old.kind != "dir" {
			return hostile("a folder where there is a file or link")
		}
		t.nodes[name] = n
		return nil
	}
	t.nodes[name] = n
	return t.root.Mkdir(name, 0o755)
}

// file writes a regular file. One that is replaced is removed first, for it may
// have other names.
func (t *Tree) file(name string, n node, content io.Reader) (err error) {
	if n.size > t.limits.File {
		return hostile(fmt.Sprintf("%d bytes, more than %d", n.size, t.limits.File))
	}
	if t.total += n.size; t.total > t.limits.Total {
		return hostile(fmt.Sprintf("with it the tree has more than %d bytes", t.limits.Total))
	}
	if err := t.replace(name); err != nil {
		return err
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	t.nodes[name] = n
	return errors.Join(err, f.Close())
}

// hardLink gives a file of the tree another name. METALOGs have no hard links:
// each name is a file of its own, and makefs finds out by the inode.
func (t *Tree) hardLink(name, target string) error {
	from, err := entryName(target)
	if err != nil {
		return hostile("a hard link to " + err.Error())
	}
	n, ok := t.nodes[from]
	switch {
	case !ok:
		return hostile(fmt.Sprintf("a hard link to %.200q, which is not in the tree: if it is only left out, take it too", target))
	case n.kind == "dir":
		return hostile("a hard link to a folder")
	case from == name:
		return nil
	}
	if err := t.replace(name); err != nil {
		return err
	}
	t.nodes[name] = n
	if n.kind == "link" {
		return nil
	}
	return t.root.Link(from, name)
}

// replace removes what an entry takes the place of.
func (t *Tree) replace(name string) error {
	old, ok := t.nodes[name]
	if ok && old.kind == "dir" {
		return hostile("a file or link where there is a folder")
	}
	delete(t.nodes, name)
	if err := t.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// nodeOf keeps what the folder on the host cannot.
func nodeOf(h *tar.Header) (node, error) {
	n := node{mode: h.Mode & 0o7777, user: owner("u", h.Uname, h.Uid), group: owner("g", h.Gname, h.Gid), time: h.ModTime.Unix()}
	if flags := h.PAXRecords["SCHILY.fflags"]; flags != "" {
		if !flagsPattern.MatchString(flags) {
			return n, hostile(fmt.Sprintf("file flags %.60q", flags))
		}
		n.flags = flags
	}
	switch h.Typeflag {
	case tar.TypeDir:
		n.kind = "dir"
	case tar.TypeReg:
		n.kind, n.size = "file", h.Size
	case tar.TypeSymlink:
		n.kind, n.link = "link", h.Linkname
		if n.link == "" || len(n.link) > 1023 {
			return n, hostile("a symbolic link to nothing, or to more than 1023 bytes")
		}
	}
	return n, nil
}
