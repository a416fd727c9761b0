package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxRecords = 100_000   // URLs remembered, some 40 MB
	tmpAge     = time.Hour // what a process that died left half-written is no one's after that
	diskMargin = 16 << 20  // bytes left free on the disk, so that databases beside can still write
)

var (
	errCacheFull = errors.New("the artifact cache is full of files in use")
	errNoSpace   = errors.New("not enough space on the disk")
)

// entry is a file that counts against the limit.
type entry struct {
	path string
	size int64 // bytes; of a part: what it will have when complete
	used time.Time
	part string // key; empty: an object
}

// reserve makes room for the rest of a part, by dropping what was used least
// recently and is not in use. The caller holds the lock of the part's URL.
func (c *Cache) reserve(ctx context.Context, p *part) (err error) {
	l, err := acquire(ctx, c.path("lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	if err := c.tidy(); err != nil {
		return err
	}
	entries, err := c.entries()
	if err != nil {
		return err
	}
	want := max(p.size, p.meta.Total)
	if want > c.limit {
		return fmt.Errorf("%d bytes, and the artifact cache may hold %d: %w", want, c.limit, errTooLarge)
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.path == p.path })
	if err := c.evict(entries, c.limit-want); err != nil {
		return err
	}
	return enoughSpace(c.dir, want-p.size)
}

// evict drops entries, the longest unused first, until the rest has at most
// limit bytes.
func (c *Cache) evict(entries []entry, limit int64) error {
	var total int64
	for _, e := range entries {
		total += e.size
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if total <= limit {
			return nil
		}
		gone, err := c.drop(e)
		if err != nil {
			return err
		}
		if gone {
			total -= e.size
		}
	}
	if total > limit {
		return fmt.Errorf("%w: %d bytes of %d", errCacheFull, total, c.limit)
	}
	return nil
}

// drop reports whether the entry was free to go.
func (c *Cache) drop(e entry) (gone bool, err error) {
	if e.part != "" {
		l, err := tryAcquire(c.path("parts", e.part+".lock"))
		if l == nil || err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, l.release()) }()
		return true, errors.Join(remove(e.path), remove(c.path("parts", e.part+".json")))
	}
	f, err := os.Open(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	got, err := flock(f, unix.LOCK_EX)
	if err != nil || !got {
		return false, err
	}
	return true, remove(e.path)
}

// entries lists objects and parts.
func (c *Cache) entries() ([]entry, error) {
	var entries []entry
	for _, dir := range []string{"objects", "parts"} {
		infos, err := list(c.path(dir))
		if err != nil {
			return nil, err
		}
		for _, st := range infos {
			e := entry{path: c.path(dir, st.Name()), size: st.Size(), used: st.ModTime()}
			if dir == "parts" {
				k, ok := strings.CutSuffix(st.Name(), ".part")
				if !ok {
					continue
				}
				e.part = k
				if meta, err := readPartMeta(c.path("parts", k+".json")); err == nil {
					e.size = max(e.size, meta.Total)
				}
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// tidy removes what dead processes left in tmp/, and the oldest records when
// there are too many. The caller holds the cache's lock.
func (c *Cache) tidy() error {
	left, err := list(c.path("tmp"))
	if err != nil {
		return err
	}
	for _, st := range left {
		if time.Since(st.ModTime()) > tmpAge {
			err = errors.Join(err, remove(c.path("tmp", st.Name())))
		}
	}
	err = errors.Join(err, c.tidyParts())
	// Reading the names alone is quick; the times are needed only when it is over.
	names, readErr := os.ReadDir(c.path("records"))
	if err = errors.Join(err, readErr); err != nil || len(names) <= maxRecords {
		return err
	}
	records, err := list(c.path("records"))
	slices.SortFunc(records, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, st := range records[:max(0, len(records)-maxRecords*9/10)] {
		err = errors.Join(err, remove(c.path("records", st.Name())))
	}
	return err
}

// tidyParts removes the meta data of a part that a process renamed before it died.
func (c *Cache) tidyParts() error {
	metas, err := filepath.Glob(c.path("parts", "*.json"))
	for _, name := range metas {
		if _, stat := os.Lstat(strings.TrimSuffix(name, ".json") + ".part"); errors.Is(stat, fs.ErrNotExist) {
			err = errors.Join(err, remove(name))
		}
	}
	return err
}

// Used returns the bytes that count against the limit, and the number of files.
func (c *Cache) Used() (bytes int64, files int, err error) {
	entries, err := c.entries()
	for _, e := range entries {
		bytes += e.size
	}
	return bytes, len(entries), fault("read artifact cache "+c.dir, err)
}

// list passes over what goes while it is read.
func list(dir string) ([]fs.FileInfo, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(names))
	for _, n := range names {
		st, err := n.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, st)
	}
	return infos, nil
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// enoughSpace refuses early what would fill the disk.
func enoughSpace(dir string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free := int64(min(uint64(st.Bavail)*uint64(st.Bsize), math.MaxInt64))
	if need > free-diskMargin {
		return fmt.Errorf("%w: %s has %d bytes free, %d are needed and %d must stay", errNoSpace, filepath.Clean(dir), free, need, diskMargin)
	}
	return nil
}
