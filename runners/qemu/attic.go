package qemu

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultTemplatesSize is the bound of a folder of templates, in bytes. One of a
// guest of 512 MiB takes 100 to 250 MB.
const DefaultTemplatesSize = 8 << 30

// attic keeps frozen machines on disk: a folder for each, named by its key, with
// its parts and what is known of it. QEMU never opens these files; they are read
// into memory, and verified, when their template is taken. Who uses a folder has
// it locked, shared, and who writes or removes it exclusively.
//
// A template that cannot be kept, or read again, is made again: nothing here
// fails, it is logged.
type attic struct {
	dir   string // empty: nothing is kept
	limit int64  // bytes
	log   *slog.Logger
}

const (
	metaName   = "template.json"
	halfPrefix = "half-"
	// maxMeta bounds the description of a template; most of it is a console.
	maxMeta = 4 << 20
)

// load reads a template and locks its folder; nil: there is none that is whole.
func (a *attic) load(key string) (*frozen, *os.File) {
	if a.dir == "" {
		return nil, nil
	}
	path := filepath.Join(a.dir, key)
	lock, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || !flock(lock, false) {
		a.log.Warn("a template is not used", "template", path, "why", cmp.Or(err, errors.New("somebody removes it")))
		if lock != nil {
			lock.Close()
		}
		return nil, nil
	}
	f, err := read(path)
	if err == nil {
		now := time.Now()
		os.Chtimes(path, now, now) // the order in which templates are removed is only a guess without it
		return f, lock
	}
	if !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("a template is damaged and made again", "template", path, "damage", err)
	}
	if flock(lock, true) {
		a.remove(path)
	}
	lock.Close()
	return nil, nil
}

// save writes a template and keeps its folder locked; nil: it is not kept.
func (a *attic) save(key string, f *frozen) *os.File {
	if a.dir == "" {
		return nil
	}
	lock, err := a.write(key, f)
	if err != nil {
		a.log.Warn("a template is not kept", "template", filepath.Join(a.dir, key), "why", err)
		return nil
	}
	a.collect()
	return lock
}

// write makes a folder under another name and gives it its own when it is whole.
// There is nothing to sync: what a crash leaves behind does not match its digests.
func (a *attic) write(key string, f *frozen) (lock *os.File, err error) {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	half, err := os.MkdirTemp(a.dir, halfPrefix)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(half) // collect tries again
			if lock != nil {
				lock.Close()
			}
		}
	}()
	if lock, err = os.Open(half); err != nil {
		return nil, err
	}
	if !flock(lock, true) {
		return nil, errors.New("somebody has a folder that was just made")
	}
	m := f.meta
	m.Digests = make(map[string]string)
	for name, from := range f.files() {
		to, err := os.OpenFile(filepath.Join(half, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return lock, err
		}
		m.Digests[name], err = transfer(to, from)
		if err := errors.Join(err, to.Close()); err != nil {
			return lock, err
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return lock, err
	}
	if err := os.WriteFile(filepath.Join(half, metaName), text, 0o600); err != nil {
		return lock, err
	}
	if err := os.Rename(half, filepath.Join(a.dir, key)); err != nil {
		return lock, err // somebody else made the same meanwhile
	}
	if !flock(lock, false) {
		return lock, errors.New("somebody has its lock")
	}
	return lock, nil
}

// read gives a folder's template, verified, in memory files.
func read(path string) (_ *frozen, err error) {
	text, err := os.ReadFile(filepath.Join(path, metaName))
	if err != nil {
		return nil, err
	}
	f := &frozen{}
	if len(text) > maxMeta {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", metaName, len(text), maxMeta)
	}
	if err := json.Unmarshal(text, &f.meta); err != nil {
		return nil, fmt.Errorf("%s: %w", metaName, err)
	}
	defer func() {
		if err != nil {
			f.closeSome()
		}
	}()
	for name, digest := range f.meta.Digests {
		part, err := readPart(filepath.Join(path, name), digest)
		if err != nil {
			return nil, err
		}
		switch name {
		case ramName:
			f.ram = part
		case stateName:
			f.state = part
		case overlayName:
			f.overlay = part
		default:
			part.Close()
			return nil, fmt.Errorf("%s: part %q: want none of that name", metaName, name)
		}
	}
	if f.ram == nil || f.state == nil {
		return nil, fmt.Errorf("%s: names no %s or no %s", metaName, ramName, stateName)
	}
	return f, nil
}

func readPart(path, digest string) (*os.File, error) {
	from, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	part, err := memoryFile(filepath.Base(path))
	if err != nil {
		return nil, err
	}
	is, err := transfer(part, from)
	if err == nil && is != digest {
		err = fmt.Errorf("%s: digest %.12s, want %.12s", filepath.Base(path), is, digest)
	}
	if err == nil {
		err = seal(part)
	}
	if err != nil {
		part.Close()
		return nil, err
	}
	return part, nil
}

// collect removes half templates that nobody writes any more, and, while the
// folder is too large, those whose use is longest ago and over.
func (a *attic) collect() {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		a.log.Warn("templates are not collected", "why", err)
		return
	}
	type kept struct {
		path string
		used time.Time
		size int64
	}
	var all []kept
	var total int64
	for _, e := range entries {
		path := filepath.Join(a.dir, e.Name())
		if strings.HasPrefix(e.Name(), halfPrefix) {
			a.removeUnused(path)
			continue
		}
		st, err := e.Info()
		if err != nil || !st.IsDir() {
			continue
		}
		k := kept{path, st.ModTime(), sizeOf(path)}
		total += k.size
		all = append(all, k)
	}
	slices.SortFunc(all, func(x, y kept) int { return x.used.Compare(y.used) })
	for _, k := range all {
		if total <= a.limit {
			return
		}
		if a.removeUnused(k.path) {
			total -= k.size
		}
	}
}

// sizeOf is what a template's files take of the disk.
func sizeOf(dir string) int64 {
	var size int64
	entries, _ := os.ReadDir(dir) // gone meanwhile: it takes nothing
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			size += occupies(st)
		}
	}
	return size
}

// removeUnused removes a folder that nobody has locked.
func (a *attic) removeUnused(path string) bool {
	lock, err := os.Open(path)
	if err != nil {
		return false
	}
	defer lock.Close()
	return flock(lock, true) && a.remove(path)
}

func (a *attic) remove(path string) bool {
	// The description goes first: what is left of a removal that was interrupted is
	// not taken for a template.
	err := errors.Join(os.RemoveAll(filepath.Join(path, metaName)), os.RemoveAll(path))
	if err != nil {
		a.log.Warn("a template is not removed", "template", path, "why", err)
	}
	return err == nil
}
