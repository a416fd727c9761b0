package qemu

import (
	"crypto/rand"
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
	dir *os.File // nil: it has none yet
}

func openFolder(path string) (*folder, error) {
	if path == "" {
		return &folder{}, nil
	}
	fd, err := unix.Open(path, folderFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open folder", Path: path, Err: err}
	}
	return &folder{os.NewFile(uintptr(fd), path)}, nil
}

// short is the name by which this process can reach name in the folder.
func (f *folder) short(name string) string { return inFolder(f.dir, name) }

// listen makes the socket name. A socket left there by another process goes. Without
// a folder it is one whose name is in no file system (unix(7)), at which anybody
// may call.
func (f *folder) listen(name string) (*net.UnixListener, error) {
	if f.dir == nil {
		return net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: "@headwatch-" + rand.Text()})
	}
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

// call makes a connection at a socket of this process's that lives only here: near
// dials its address, far is the other end.
func (f *folder) call(name string, near func(address string) error) (far *os.File, err error) {
	l, err := f.listen(name)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := near(l.Addr().String()); err != nil {
		return nil, err
	}
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		far, err = c.File()
		c.Close() // far is a copy
		if err != nil || f.dir != nil || own(far) {
			return far, err
		}
		far.Close() // somebody was quicker
	}
}

func (f *folder) Close() error {
	if f.dir == nil {
		return nil
	}
	return f.dir.Close()
}
