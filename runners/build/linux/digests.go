package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"sync"
	"time"
)

// digests remembers the SHA-256 of files that do not change, by path, size and
// modification time. It is safe for concurrent use.
type digests struct {
	mu    sync.Mutex
	known map[string]knownDigest
}

type knownDigest struct {
	size   int64
	mtime  time.Time
	digest string
}

func (d *digests) file(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	k, ok := d.known[path]
	d.mu.Unlock()
	if ok && k.size == st.Size() && k.mtime.Equal(st.ModTime()) {
		return k.digest, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	k = knownDigest{size: st.Size(), mtime: st.ModTime(), digest: digestString(sum.Sum(nil))}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[string]knownDigest)
	}
	d.known[path] = k
	return k.digest, nil
}

func digestString(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }
