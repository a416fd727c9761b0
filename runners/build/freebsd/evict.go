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

// evict removes the folders used least recently, except the caller's and those
// in use, and what an interrupted build or eviction left.
func (b *Builder) evict(mine *folder) error {
	cache := filepath.Dir(mine.dir)
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	type aged struct {
		dir  string
		used time.Time
	}
	var others []aged
	for _, e := range entries {
		dir := filepath.Join(cache, e.Name())
		switch info, err := os.Stat(filepath.Join(dir, "state.json")); {
		case !e.IsDir() || dir == mine.dir:
		case strings.HasPrefix(e.Name(), trashPrefix):
			// Whoever renamed it may be removing it now: both get their way.
			if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case err != nil || strings.HasPrefix(e.Name(), cleanPrefix):
			others = append(others, aged{dir: dir})
		default:
			others = append(others, aged{dir, info.ModTime()})
		}
	}
	slices.SortFunc(others, func(a, b aged) int {
		return cmp.Or(b.used.Compare(a.used), strings.Compare(a.dir, b.dir))
	})
	for i, o := range others {
		if i < b.cfg.Keep-1 && !o.used.IsZero() {
			continue
		}
		lock, err := tryLock(o.dir, false)
		if errors.Is(err, errLocked) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(discard(o.dir), lock.Close()); err != nil {
			return fmt.Errorf("evict cache folder: %w", err)
		}
	}
	return nil
}
