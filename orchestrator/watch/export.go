package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

const (
	maxDepth = 200     // folders inside each other
	maxLink  = 4 << 10 // bytes of a symbolic link's target
)

// Export writes the given paths of a commit's tree below dir, under their own
// names; no paths at all, or ".", means the whole tree. dir and its parents are
// made when missing; what is in the way of a file is replaced, other files stay.
// A path that the commit lacks is an error. Files have mode 0644 or 0755 and the
// time of now, symbolic links are kept as they are, a submodule is an empty
// folder.
//
// Contents are the bytes that were committed. Neither git archive nor a checkout
// promises that: both obey the tree's own .gitattributes, which can leave files
// out and rewrite others. So we read objects and write files ourselves, through
// os.Root: nothing is ever written outside dir, whatever names and links the tree
// holds. Who follows a link of the tree afterwards must look where it leads.
func (m *Mirror) Export(ctx context.Context, commit string, paths []string, dir string) error {
	if err := m.export(ctx, commit, paths, dir); err != nil {
		return fmt.Errorf("upstream %q: export of commit %.64s: %w", m.cfg.Upstream, commit, err)
	}
	return nil
}

func (m *Mirror) export(ctx context.Context, commit string, paths []string, dir string) error {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	paths, err := cleanPaths(paths)
	if err != nil {
		return err
	}
	entries := make([]treeEntry, len(paths))
	err = m.read(ctx, func(o *objects) error {
		root, err := o.root(commit)
		if err != nil {
			return err
		}
		for i, p := range paths {
			e, found, err := o.find(root, p)
			if err != nil {
				return fmt.Errorf("path %q: %w", p, err)
			}
			if !found {
				return fmt.Errorf("the commit has no path %q", p)
			}
			entries[i] = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := m.complete(ctx, entries); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	top, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer top.Close()
	return m.read(ctx, func(o *objects) error {
		for i, p := range paths {
			if err := (exporter{ctx, o}).at(top, p, entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// exporter writes entries of trees into folders.
type exporter struct {
	ctx     context.Context
	objects *objects
}

// at writes an entry at a clean path below top, making the folders on the way.
func (x exporter) at(top *os.Root, p string, e treeEntry) error {
	if p == "." {
		return x.tree(top, p, e.id)
	}
	dir := top
	for parent := range strings.SplitSeq(path.Dir(p), "/") {
		if parent == "." {
			break
		}
		next, err := folder(dir, parent)
		if err != nil {
			return fmt.Errorf("path %q: %w", p, err)
		}
		defer next.Close()
		dir = next
	}
	e.name = path.Base(p)
	return x.entry(dir, p, e)
}

// tree writes a tree's entries into the folder dir, which is at path p.
func (x exporter) tree(dir *os.Root, p, id string) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if strings.Count(p, "/") >= maxDepth {
		return fmt.Errorf("path %.200q: more than %d folders inside each other", p, maxDepth)
	}
	entries, _, err := x.objects.tree(id)
	if err != nil {
		return fmt.Errorf("path %q: %w", p, err)
	}
	for _, e := range entries {
		if err := x.entry(dir, path.Join(p, e.name), e); err != nil {
			return err
		}
	}
	return nil
}

// entry writes one entry, which has path p, into the folder dir.
func (x exporter) entry(dir *os.Root, p string, e treeEntry) error {
	if err := safeName(e.name); err != nil {
		return fmt.Errorf("path %q: %w", p, err)
	}
	var err error
	switch e.mode & modeMask {
	case modeTree:
		var sub *os.Root
		if sub, err = folder(dir, e.name); err == nil {
			defer sub.Close()
			return x.tree(sub, p, e.id)
		}
	case modeSub:
		var sub *os.Root
		if sub, err = folder(dir, e.name); err == nil {
			err = sub.Close()
		}
	case modeLink:
		err = x.link(dir, e)
	case modeFile:
		err = x.file(dir, e)
	default:
		err = fmt.Errorf("mode %o is none that git makes", e.mode)
	}
	if err != nil {
		return fmt.Errorf("path %q: %w", p, err)
	}
	return nil
}

// file writes a file anew, so that its time is of now and no link is written
// through.
func (x exporter) file(dir *os.Root, e treeEntry) error {
	if err := dir.RemoveAll(e.name); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if e.mode&0o100 != 0 {
		mode = 0o755
	}
	f, err := dir.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	// Chmod, because the umask took its part.
	return errors.Join(x.objects.blob(e.id, f), f.Chmod(mode), f.Close())
}

func (x exporter) link(dir *os.Root, e treeEntry) error {
	target := &capped{left: maxLink}
	if err := x.objects.blob(e.id, target); err != nil {
		return fmt.Errorf("target of a symbolic link: %w", err)
	}
	if err := dir.RemoveAll(e.name); err != nil {
		return err
	}
	return dir.Symlink(target.buf.String(), e.name)
}

// folder opens a folder in dir, making it. A file or link of its name gives way.
func folder(dir *os.Root, name string) (*os.Root, error) {
	info, err := dir.Lstat(name)
	if err == nil && !info.IsDir() {
		if err := dir.Remove(name); err != nil {
			return nil, err
		}
	}
	if err != nil || !info.IsDir() {
		if err := dir.Mkdir(name, 0o755); err != nil {
			return nil, err
		}
	}
	return dir.OpenRoot(name)
}

// safeName refuses names that git refuses to add: those that lead elsewhere, and
// the name of a repository, which tools would find and obey.
func safeName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || strings.EqualFold(name, ".git") {
		return fmt.Errorf("the name %q is not safe to write", name)
	}
	return nil
}
