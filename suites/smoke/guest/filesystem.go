//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeSize is how much one write holds, in bytes: no multiple of a page.
const writeSize = 12_345

// filesystem takes a file through its life in a new folder of the temporary
// folder, which the agent mounts as tmpfs where it starts as the first process.
func filesystem(ctx context.Context, args FilesystemArgs) (result Filesystem, err error) {
	if args.Bytes < 0 || args.Bytes > 1<<28 || args.Truncate < 0 || args.Truncate > args.Bytes {
		return result, fmt.Errorf("file of %d bytes cut to %d: want 0 to 256 MiB", args.Bytes, args.Truncate)
	}
	dir, err := os.MkdirTemp("", "smoke-")
	if err != nil {
		return result, unnamed(err)
	}
	defer os.RemoveAll(dir) // of a failed check; a good one leaves nothing to remove
	f := file{dir, &result}
	for _, step := range []func(FilesystemArgs) error{f.write, f.move, f.cut, f.unlink} {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		if err := step(args); err != nil {
			return result, unnamed(err)
		}
	}
	if err := os.Remove(dir); err != nil {
		return result, unnamed(err)
	}
	return result, nil
}

type file struct {
	dir string
	saw *Filesystem
}

func (f file) path(name string) string { return filepath.Join(f.dir, name) }

// write creates the file and syncs it.
func (f file) write(args FilesystemArgs) error {
	out, err := os.OpenFile(f.path(NameFirst), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	for data := Pattern(args.Seed, args.Bytes); len(data) > 0; {
		n, err := out.Write(data[:min(writeSize, len(data))])
		if err != nil {
			return err
		}
		data = data[n:]
	}
	if err := out.Sync(); err != nil {
		return err
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	f.saw.Size = info.Size()
	return out.Close()
}

// move renames the file, reads it by its new name and gives it another one.
func (f file) move(FilesystemArgs) error {
	if err := os.Rename(f.path(NameFirst), f.path(NameMoved)); err != nil {
		return err
	}
	var errno syscall.Errno
	if _, err := os.Stat(f.path(NameFirst)); errors.As(err, &errno) {
		f.saw.OldName = unix.ErrnoName(errno)
	}
	data, err := os.ReadFile(f.path(NameMoved))
	if err != nil {
		return err
	}
	f.saw.Digest = Digest(data)
	if err := os.Link(f.path(NameMoved), f.path(NameLink)); err != nil {
		return err
	}
	if f.saw.Names, err = f.names(); err != nil {
		return err
	}
	moved, err := os.Stat(f.path(NameMoved))
	if err != nil {
		return err
	}
	link, err := os.Stat(f.path(NameLink))
	if err != nil {
		return err
	}
	f.saw.Links, f.saw.SameFile = links(link), os.SameFile(moved, link)
	return nil
}

// cut truncates the file by one name and reads it by the other.
func (f file) cut(args FilesystemArgs) error {
	if err := os.Truncate(f.path(NameMoved), int64(args.Truncate)); err != nil {
		return err
	}
	data, err := os.ReadFile(f.path(NameLink))
	if err != nil {
		return err
	}
	info, err := os.Stat(f.path(NameLink))
	if err != nil {
		return err
	}
	f.saw.CutSize, f.saw.CutDigest = info.Size(), Digest(data)
	return nil
}

func (f file) unlink(FilesystemArgs) error {
	if err := os.Remove(f.path(NameMoved)); err != nil {
		return err
	}
	info, err := os.Stat(f.path(NameLink))
	if err != nil {
		return err
	}
	f.saw.LinksUnlinked = links(info)
	if f.saw.NamesUnlinked, err = f.names(); err != nil {
		return err
	}
	if err := os.Remove(f.path(NameLink)); err != nil {
		return err
	}
	f.saw.NamesAfter, err = f.names()
	return err
}

func (f file) names() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func links(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }

// unnamed keeps the call and the last element of an error's path: the folder has
// another name in every run, and a reason should not.
func unnamed(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s %s: %w", path.Op, lastName(path.Path), path.Err)
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return fmt.Errorf("%s %s to %s: %w", link.Op, lastName(link.Old), lastName(link.New), link.Err)
	}
	return err
}

func lastName(path string) string {
	switch name := filepath.Base(path); name {
	case NameFirst, NameMoved, NameLink:
		return name
	}
	return "folder"
}
