package freebsd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Discarded folders are renamed to this before they are removed, so that nobody
// finds a half.
const trashPrefix = "trash-"

// cleanPrefix names the folders of clean builds.
const cleanPrefix = "clean-"

// discard removes a folder whose lock the caller holds. The new name is one that
// nobody has: a process discards no two folders in the same nanosecond.
func discard(dir string) error {
	trash := filepath.Join(filepath.Dir(dir), fmt.Sprintf("%s%d-%d", trashPrefix, os.Getpid(), time.Now().UnixNano()))
	if err := os.Rename(dir, trash); err != nil {
		return err
	}
	return os.RemoveAll(trash)
}

// aged is a cache folder and when it was last used; never, when it cannot be used:
// a clean build's, or one whose first build was interrupted.
type aged struct {
	dir  string
	used time.Time
}

// folders lists the cache folders, the one used last first, and what an interrupted
// eviction left.
func (b *Builder) folders() (list []aged, trash []string, err error) {
	entries, err := os.ReadDir(b.cfg.Cache)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		dir := filepath.Join(b.cfg.Cache, e.Name())
		switch info, err := os.Stat(filepath.Join(dir, "state.json")); {
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), trashPrefix):
			trash = append(trash, dir)
		case err != nil || strings.HasPrefix(e.Name(), cleanPrefix):
			list = append(list, aged{dir: dir})
		default:
			list = append(list, aged{dir, info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b aged) int {
		return cmp.Or(b.used.Compare(a.used), strings.Compare(a.dir, b.dir))
	})
	return list, trash, nil
}

// evict removes the folders used least recently, except the caller's and those
// in use, and what an interrupted build or eviction left.
func (b *Builder) evict(mine *folder) error {
	list, trash, err := b.folders()
	if err != nil {
		return err
	}
	for _, dir := range trash {
		if err := empty(dir); err != nil {
			return err
		}
	}
	others := slices.DeleteFunc(list, func(a aged) bool { return a.dir == mine.dir })
	for i, o := range others {
		if i < b.cfg.Keep-1 && !o.used.IsZero() {
			continue
		}
		if _, err := o.drop(false); err != nil {
			return err
		}
	}
	return nil
}

// Trim removes the folders that nobody has used since before, except those in use,
// and what an interrupted build or eviction left. It returns the folders and their
// size in bytes; dry leaves them there.
func (b *Builder) Trim(before time.Time, dry bool) (gone []string, size int64, err error) {
	list, trash, err := b.folders()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	remove := func(dir string, drop func(dry bool) (bool, error)) error {
		n := sizeOf(dir)
		ok, err := drop(dry)
		if ok {
			gone, size = append(gone, dir), size+n
		}
		return err
	}
	for _, dir := range trash {
		if err := remove(dir, func(dry bool) (bool, error) {
			if dry {
				return true, nil
			}
			err := empty(dir)
			return err == nil, err
		}); err != nil {
			return gone, size, err
		}
	}
	for _, o := range list {
		if o.used.After(before) {
			continue
		}
		if err := remove(o.dir, o.drop); err != nil {
			return gone, size, err
		}
	}
	return gone, size, nil
}

// Distrust removes the objects that incremental builds of a product's inputs go on
// from, because they led to other files than a clean build, and says whether they
// were free to go.
func (b *Builder) Distrust(p Product) (gone bool, err error) {
	if p.key == "" {
		return false, nil
	}
	return aged{dir: filepath.Join(b.cfg.Cache, p.key[:16])}.drop(false)
}

// drop removes a folder unless it is in use, and says whether it was free to go.
func (a aged) drop(dry bool) (gone bool, err error) {
	lock, err := tryLock(a.dir, false)
	if errors.Is(err, errLocked) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if dry {
		return true, lock.Close()
	}
	if err := errors.Join(discard(a.dir), lock.Close()); err != nil {
		return false, fmt.Errorf("evict cache folder: %w", err)
	}
	return true, nil
}

// empty removes a folder that was discarded. Whoever renamed it may be removing it
// now: both get their way.
func empty(trash string) error {
	if err := os.RemoveAll(trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sizeOf adds up the files below a folder, as far as they can be seen.
func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if st, err := e.Info(); err == nil {
			bytes += st.Size()
		}
		return nil
	})
	return bytes
}
