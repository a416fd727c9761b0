package freebsd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// changes are what makes one state of a source folder another.
type changes struct {
	remove []file
	write  []file
}

func (c changes) none() bool { return len(c.remove)+len(c.write) == 0 }

// compare says how to get from the files that are there to those that should
// be. Both are sorted by path. Only content, kind and name count: that is what
// keeps a file's time, and so its objects, when history is walked backwards.
func compare(have, want []file) changes {
	var c changes
	for len(have) > 0 || len(want) > 0 {
		switch {
		case len(want) == 0 || len(have) > 0 && have[0].Path < want[0].Path:
			c.remove = append(c.remove, have[0])
			have = have[1:]
		case len(have) == 0 || want[0].Path < have[0].Path:
			c.write = append(c.write, want[0])
			want = want[1:]
		default:
			if have[0] != want[0] {
				c.remove = append(c.remove, have[0])
				c.write = append(c.write, want[0])
			}
			have, want = have[1:], want[1:]
		}
	}
	return c
}

// apply changes the source folder at dst, taking contents from the tree at src.
// Files written have the time of now, which is what make goes by. It stops at
// the first error and leaves the folder between two states.
func (c changes) apply(ctx context.Context, src, dst string) error {
	root, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range c.remove {
		if err := root.Remove(f.Path); err != nil {
			return fmt.Errorf("update source folder: %w", err)
		}
		for _, d := range parents(f.Path) {
			if root.Remove(d) != nil { // not empty
				break
			}
		}
	}
	made := map[string]bool{".": true}
	for _, f := range c.write {
		if d := path.Dir(f.Path); !made[d] {
			if err := root.MkdirAll(d, 0o755); err != nil {
				return fmt.Errorf("update source folder: %w", err)
			}
			made[d] = true
		}
	}
	if err := each(ctx, c.write, func(f *file, buf []byte) error { return f.copy(src, root, buf) }); err != nil {
		return fmt.Errorf("update source folder: %w", err)
	}
	return nil
}

// copy writes one file, and makes sure that it is the one that was scanned.
func (f file) copy(src string, root *os.Root, buf []byte) error {
	name := filepath.Join(src, filepath.FromSlash(f.Path))
	if f.Kind == kindLink {
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		return root.Symlink(target, f.Path)
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	mode := fs.FileMode(0o644)
	if f.Kind == kindExec {
		mode = 0o755
	}
	out, err := root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	h := blobHash(f.Size)
	_, err = io.CopyBuffer(io.MultiWriter(out, h), struct{ io.Reader }{in}, buf)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != f.Sum {
		return changedWhileRead(f.Path)
	}
	return nil
}
