package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners"
)

const maxRecord = 16 << 10 // bytes

// Cache keeps downloaded files in a folder, by content:
//
//	objects/<sha256>       a file; locked in shared mode by whoever uses it
//	records/<key>.json     what a URL held when it was first fetched; outlives the object
//	parts/<key>.part,.json what has arrived of a file, and which version of it
//	parts/<key>.lock       held by the one who fetches the URL
//	lock                   held while objects come and go
//
// A key is the SHA-256 of the URL. A file enters objects/ by rename, when its
// bytes are on disk and checked. Any number of processes may use the folder at
// the same moment, and may die in it.
type Cache struct {
	dir   string
	limit int64
}

// File is a cached file. It stays where it is until Close.
type File struct {
	URL    string // where it came from
	Path   string
	Digest string // hex SHA-256
	Size   int64  // bytes
	pin    *os.File
}

// Close lets the file go when room is needed.
func (f *File) Close() error { return f.pin.Close() }

// record is what a URL held.
type record struct {
	URL      string    `json:"url"`
	Digest   string    `json:"digest"` // hex SHA-256
	Size     int64     `json:"size"`
	Checked  string    `json:"checked"` // URL of the published checksum; empty: by the archive's own
	Received time.Time `json:"received"`
}

// OpenCache opens the cache in dir, which may hold at most limit bytes, files on
// their way included.
func OpenCache(dir string, limit int64) (*Cache, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("artifact cache %s: limit of %d bytes: want more than 0", dir, limit)
	}
	c := &Cache{dir: dir, limit: limit}
	for _, d := range []string{"objects", "records", "parts", "tmp"} {
		if err := os.MkdirAll(c.path(d), 0o755); err != nil {
			return nil, fault("open artifact cache "+dir, err)
		}
	}
	return c, nil
}

func (c *Cache) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

func key(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:])
}

// lookup returns the file that url held, or nil when the cache has it no more. A
// file that is not what was put there is dropped. The caller holds the lock of
// the URL.
func (c *Cache) lookup(ctx context.Context, url string) (*File, *record, error) {
	rec, err := c.record(url)
	if rec == nil || err != nil {
		return nil, nil, err
	}
	file, err := c.pin(ctx, rec.Digest)
	if file != nil {
		file.URL = url
	}
	return file, rec, err
}

// record returns nil for a URL that was never fetched.
func (c *Cache) record(url string) (*record, error) {
	name := c.path("records", key(url)+".json")
	text, err := readSmall(name, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec record
	if err := json.Unmarshal(text, &rec); err != nil || rec.URL != url || !hexDigest.MatchString(rec.Digest) {
		return nil, &runners.InfraError{Op: "read artifact cache", Err: fmt.Errorf("%s is not a record of %s", name, url),
			Hint: "the disk damaged it or somebody edited it: remove that file"}
	}
	return &rec, nil
}

// pin returns nil when there is no such object. It reads the whole file, for a
// disk that forgets must not become a kernel that fails.
func (c *Cache) pin(ctx context.Context, digest string) (_ *File, err error) {
	path := c.path("objects", digest)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() {
		if !keep {
			err = errors.Join(err, f.Close())
		}
	}()
	got, err := flock(f, unix.LOCK_SH)
	if err != nil || !got || !stillAt(f, path) {
		return nil, err // being evicted
	}
	sum, n, err := digestOf(ctx, f)
	if err != nil {
		return nil, err
	}
	if sum != digest {
		return nil, os.Remove(path)
	}
	// Eviction goes by the time of last use, which file systems do not keep.
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		return nil, err
	}
	keep = true
	return &File{Path: path, Digest: digest, Size: n, pin: f}, nil
}

// store makes a complete, checked part an object and remembers what the URL
// held. The caller holds the lock of the URL.
func (c *Cache) store(ctx context.Context, p *part, rec record) (_ *File, err error) {
	l, err := acquire(ctx, c.path("lock"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	file, err := c.pin(ctx, rec.Digest)
	if err != nil {
		return nil, err
	}
	if file == nil {
		if file, err = c.adopt(p, rec.Digest); err != nil {
			return nil, err
		}
	}
	file.URL = rec.URL
	if err := errors.Join(c.remember(rec), p.discard()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// adopt renames a part. It is locked before, so that nobody can evict it between.
func (c *Cache) adopt(p *part, digest string) (*File, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	path := c.path("objects", digest)
	_, err = flock(f, unix.LOCK_SH)
	err = errors.Join(err, p.file.Sync(), p.file.Chmod(0o444))
	if err == nil {
		err = os.Rename(p.path, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{Path: path, Digest: digest, Size: p.size, pin: f}, nil
}

func (c *Cache) remember(rec record) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return c.write(c.path("records", key(rec.URL)+".json"), text)
}

// write replaces a small file whole.
func (c *Cache) write(path string, text []byte) error {
	return renameio.WriteFile(path, text, 0o644, renameio.WithTempDir(c.path("tmp")))
}

// Forget drops what the cache knows of a commit's artifact or of an image's URL,
// so that a file that changed on the server is taken as it is now.
func (c *Cache) Forget(ctx context.Context, url string) (err error) {
	defer func() { err = fault("forget "+url, err) }()
	l, err := acquire(ctx, c.path("parts", key(url)+".lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	err = os.Remove(c.path("records", key(url)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSmall refuses files above limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return text, err
}

// digestOf returns the hex SHA-256 and the number of the bytes that r has left.
func digestOf(ctx context.Context, r io.Reader) (string, int64, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, &ctxReader{ctx, r})
	return hex.EncodeToString(sum.Sum(nil)), n, err
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
