package freebsd

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// file is one file or symbolic link of a source tree.
type file struct {
	Path string `json:"path"` // from the tree's root, with slashes
	Kind string `json:"kind"` // "file", "exec" or "link"
	Size int64  `json:"size"` // bytes of the content, or of the link's target
	Sum  string `json:"sum"`  // as git names a blob: hex SHA-1 of a header and the content
}

// The kinds of file.
const (
	kindFile = "file"
	kindExec = "exec"
	kindLink = "link"
)

// scan reads those of the paths that the tree at dir has, sorted by path.
// Folders of version control are left out, and so is what skip names.
func scan(ctx context.Context, dir string, paths, skip []string) ([]file, error) {
	var files []file
	for _, p := range paths {
		err := filepath.WalkDir(filepath.Join(dir, p), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				if name == filepath.Join(dir, p) && errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			out := d.Name() == ".git" || slices.Contains(skip, rel)
			switch {
			case d.IsDir() && out:
				return fs.SkipDir
			case d.IsDir():
				return ctx.Err()
			case out: // as the .git of a linked work tree
				return nil
			}
			f, err := describe(rel, d)
			files = append(files, f)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read source tree: %w", err)
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.Path, b.Path) })
	files = slices.CompactFunc(files, func(a, b file) bool { return a.Path == b.Path })
	if err := sumAll(ctx, dir, files); err != nil {
		return nil, fmt.Errorf("read source tree: %w", err)
	}
	return files, nil
}

func describe(name string, d fs.DirEntry) (file, error) {
	info, err := d.Info()
	if err != nil {
		return file{}, err
	}
	f := file{Path: name, Kind: kindFile, Size: info.Size()}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		f.Kind = kindLink
	case !info.Mode().IsRegular():
		return f, fmt.Errorf("%s: %v: neither a file nor a symbolic link", name, info.Mode())
	case info.Mode()&0o111 != 0:
		f.Kind = kindExec
	}
	return f, nil
}

// sumAll sets Size and Sum of every file.
func sumAll(ctx context.Context, dir string, files []file) error {
	return each(ctx, files, func(f *file, buf []byte) error { return f.sum(dir, buf) })
}

// readers is how many files are read at a time: more than there are CPUs, for a tree
// that is not in memory is waited for.
var readers = max(8, 2*runtime.NumCPU())

// each does something for every file, several at a time, with a buffer of its own for
// each. It stops at the first error.
func each(ctx context.Context, files []file, do func(f *file, buf []byte) error) error {
	var (
		next   atomic.Int64
		group  sync.WaitGroup
		errs   = make([]error, readers)
		failed atomic.Bool
	)
	for w := range errs {
		group.Go(func() {
			buf := make([]byte, 256<<10)
			for !failed.Load() && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				if errs[w] = do(&files[i], buf); errs[w] != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// sum reads a file and sets its Size and Sum.
func (f *file) sum(dir string, buf []byte) error {
	name := filepath.Join(dir, filepath.FromSlash(f.Path))
	if f.Kind == kindLink {
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		f.Size = int64(len(target))
		h := blobHash(f.Size)
		io.WriteString(h, target)
		f.Sum = hex.EncodeToString(h.Sum(nil))
		return nil
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	h := blobHash(f.Size)
	// Hiding both ends' own methods makes io.CopyBuffer use the buffer.
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{in}, buf)
	if err != nil {
		return err
	}
	if n != f.Size {
		return changedWhileRead(f.Path)
	}
	f.Sum = hex.EncodeToString(h.Sum(nil))
	return nil
}

func changedWhileRead(name string) error {
	return fmt.Errorf("%s changed while it was read: leave the tree alone during a build", name)
}

func blobHash(size int64) hash.Hash {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", size)
	return h
}

// digestFiles is a digest of those of the files that are at or below one of the
// paths; no paths: of all.
func digestFiles(files []file, paths []string) string {
	var text bytes.Buffer
	for _, f := range files {
		if len(paths) == 0 || below(f.Path, paths) {
			fmt.Fprintf(&text, "%s %s %s\n", f.Kind, f.Sum, f.Path)
		}
	}
	return digest(text.Bytes())
}

// below says whether name is one of the paths or inside one.
func below(name string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return p == "." || name == p || strings.HasPrefix(name, p) && name[len(p)] == '/'
	})
}

// parents lists the folders that hold name, the innermost first.
func parents(name string) []string {
	var dirs []string
	for d := path.Dir(name); d != "."; d = path.Dir(d) {
		dirs = append(dirs, d)
	}
	return dirs
}
