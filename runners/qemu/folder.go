package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is a machine's folder, held open, so that a socket in it has a short
// name however long the folder's is.
type folder struct {
	dir *os.File
}

func openFolder(path string) (*folder, error) {
	fd, err := unix.Open(path, folderFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open folder", Path: path, Err: err}
	}
	return &folder{os.NewFile(uintptr(fd), path)}, nil
}

// short is the name by which this process can reach name in the folder.
func (f *folder) short(name string) string { return inFolder(f.dir, name) }

// listen makes the socket name. A socket left there by another process goes.
func (f *folder) listen(name string) (*net.UnixListener, error) {
	if err := f.remove(name); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: f.short(name)})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", filepath.Join(f.dir.Name(), name), err)
	}
	return l, nil
}

func (f *folder) remove(name string) error {
	if err := os.Remove(f.short(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *folder) Close() error { return f.dir.Close() }
