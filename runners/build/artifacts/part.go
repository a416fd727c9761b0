package artifacts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// partMeta says which version of a file a part is of. It is on disk before the
// part's first byte.
type partMeta struct {
	URL          string `json:"url"`
	ETag         string `json:"etag"`
	LastModified string `json:"last_modified"`
	Total        int64  `json:"total"` // bytes; -1: the server did not say
}

// validator is what If-Range may carry (RFC 9110, 13.1.5), which takes no weak
// entity tags; empty: the part cannot be continued.
func (m partMeta) validator() string {
	if m.ETag != "" && !strings.HasPrefix(m.ETag, "W/") {
		return m.ETag
	}
	return m.LastModified
}

// part is a file on its way. Whoever has it holds the lock of its URL.
type part struct {
	cache *Cache
	path  string
	file  *os.File
	meta  partMeta
	size  int64 // bytes that have arrived
}

// openPart goes on from what is there, if anything.
func (c *Cache) openPart(url string) (*part, error) {
	p := &part{cache: c, path: c.path("parts", key(url)+".part")}
	f, err := os.OpenFile(p.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	p.file = f
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.size = st.Size()
	meta, err := readPartMeta(p.metaPath())
	// Bytes without their version are worth nothing; nor are more than all.
	if err != nil || meta.URL != url || (meta.Total >= 0 && p.size > meta.Total) {
		if err := p.begin(partMeta{URL: url, Total: -1}); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return p, nil
	}
	p.meta = meta
	return p, nil
}

func (p *part) metaPath() string { return strings.TrimSuffix(p.path, ".part") + ".json" }

func readPartMeta(path string) (partMeta, error) {
	var m partMeta
	text, err := readSmall(path, maxRecord)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

// begin drops what has arrived and makes the part one of another version.
func (p *part) begin(meta partMeta) error {
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	p.size, p.meta = 0, meta
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	if len(text) > maxRecord {
		return fmt.Errorf("%s: entity tag and dates of %d bytes", meta.URL, len(text))
	}
	return p.cache.write(p.metaPath(), text)
}

// complete reports whether all has arrived, as far as the server said how much.
func (p *part) complete() bool { return p.meta.Total >= 0 && p.size == p.meta.Total }

func (p *part) Write(b []byte) (int, error) {
	n, err := p.file.WriteAt(b, p.size)
	p.size += int64(n)
	return n, err
}

// discard removes the part from the disk, if it was not renamed away.
func (p *part) discard() error { return errors.Join(remove(p.metaPath()), remove(p.path)) }

func (p *part) close() error { return p.file.Close() }
