package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

const (
	maxFiles = 1 << 20
	maxRoot  = 64 << 30 // bytes of files, and of free space
)

// entry is one node of the root file system.
type entry struct {
	File
	host string // of a regular file of an installed tree, whose hard links are kept
}

// tree is the staged root: what makefs reads.
type tree struct {
	dir     string  // folder with the files' content
	entries []entry // sorted by path, the root first
	need    int64   // bytes that their content takes, folders and indirect blocks too
}

// stage lays the files out in dir, by hard links where the file system allows
// it. Owners, modes and times are not there but in the specification.
func stage(ctx context.Context, dir string, d Disk) (*tree, error) {
	entries, err := collect(ctx, d)
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir, entries: entries}
	s := stager{dir: dir, placed: make(map[inode]string)}
	folders := make(map[string]int64)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size, err := s.place(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		if e.Mode.IsDir() {
			folders[e.Path] += 2 * 12 // "." and ".."
		}
		t.need += blocksOf(size)
		folders[path.Dir(e.Path)] += int64(8 + len(path.Base(e.Path)) + 4)
		if t.need > maxRoot {
			return nil, fmt.Errorf("files of more than %d GiB", maxRoot>>30)
		}
	}
	for _, size := range folders {
		t.need += blocksOf(size * 5 / 4) // entries do not cross sectors
	}
	return t, nil
}

// collect lists all nodes, folders that nobody named included.
func collect(ctx context.Context, d Disk) ([]entry, error) {
	all := make(map[string]entry)
	if d.Metalog != "" {
		installed, err := readMetalog(ctx, d.Metalog)
		if err != nil {
			return nil, err
		}
		for _, e := range installed {
			all[e.Path] = e // a later line is a later installation
		}
	}
	for _, f := range d.Files {
		all[f.Path] = entry{File: f}
	}
	if len(all) > maxFiles {
		return nil, fmt.Errorf("%d files: at most %d", len(all), maxFiles)
	}
	named := make([]string, 0, len(all))
	for p := range all {
		named = append(named, p)
	}
	if _, ok := all["/"]; !ok {
		all["/"] = folder("/")
	}
	for _, p := range named {
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = folder(dir)
			}
		}
	}
	entries := make([]entry, 0, len(all))
	for p, e := range all {
		if up := all[path.Dir(p)]; !up.Mode.IsDir() {
			return nil, fmt.Errorf("%s: lies below %s, which is no folder", p, up.Path)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.Path, b.Path) })
	return entries, nil
}

func folder(p string) entry { return entry{File: File{Path: p, Mode: fs.ModeDir | 0o755}} }

type stager struct {
	dir    string
	placed map[inode]string // files of an installed tree, staged
}

// place makes one node and returns the size of its content.
func (s *stager) place(ctx context.Context, e entry) (int64, error) {
	to := filepath.Join(s.dir, filepath.FromSlash(e.Path))
	switch {
	case e.Mode.IsDir():
		return 0, os.Mkdir(to, 0o700)
	case e.Mode.Type() == fs.ModeSymlink:
		return int64(len(e.Link)), os.Symlink(e.Link, to)
	case e.host != "":
		return s.installed(ctx, e.host, to)
	case e.Source != "":
		return s.source(ctx, e.Source, to)
	}
	return int64(len(e.Data)), os.WriteFile(to, e.Data, 0o600)
}

// installed stages a file of an installed tree. Its other names, if it has any,
// become hard links on the disk too.
func (s *stager) installed(ctx context.Context, from, to string) (int64, error) {
	st, err := os.Lstat(from)
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not the regular file that its METALOG says", from)
	}
	id, linked := inodeOf(st)
	if first, ok := s.placed[id]; linked && ok {
		return 0, os.Link(first, to)
	}
	s.placed[id] = to
	return st.Size(), linkOrCopy(ctx, from, to)
}

// source stages a file of the host's. One that several files name is copied for
// all but the first: makefs would join them to one.
func (s *stager) source(ctx context.Context, from, to string) (int64, error) {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return 0, err
	}
	st, err := os.Lstat(from)
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", from)
	}
	id, _ := inodeOf(st)
	if _, ok := s.placed[id]; ok {
		return st.Size(), copyFile(ctx, from, to)
	}
	s.placed[id] = to
	return st.Size(), linkOrCopy(ctx, from, to)
}

// linkOrCopy links, and copies what cannot be linked: it may lie on another file
// system, or belong to somebody else (proc(5), protected_hardlinks).
func linkOrCopy(ctx context.Context, from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(ctx, from, to)
}

func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, &stoppable{ctx, in})
	return err
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
