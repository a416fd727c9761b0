package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners/build/freebsd"
)

// Trimmed is what Trim has removed of a cache of builds.
type Trimmed struct {
	Objects []string // folders of objects
	Records int      // of what was built, whose image is gone
	Bytes   int64
}

// Trim removes from a cache of builds what nobody has used since before: folders of
// objects, and what is remembered of images that the store lacks. It may be called
// beside builds: what they use stays. dry leaves everything there.
func Trim(cache string, before time.Time, has func(image string) bool, dry bool) (t Trimmed, err error) {
	if t.Objects, t.Bytes, err = freebsd.New(freebsd.Config{Cache: filepath.Join(cache, "objects")}).Trim(before, dry); err != nil {
		return t, fmt.Errorf("cache of objects: %w", err)
	}
	dir := filepath.Join(cache, "made")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("cache of builds: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		st, err := e.Info()
		if err != nil || !strings.HasSuffix(path, ".json") || st.ModTime().After(before) || has(madeOf(path)) {
			continue
		}
		if !dry {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return t, fmt.Errorf("cache of builds: %w", err)
			}
		}
		t.Records++
		t.Bytes += st.Size()
	}
	return t, nil
}

// madeOf is the image that a record names; empty when it is damaged.
func madeOf(path string) string {
	var was made
	if text, err := os.ReadFile(path); err != nil || json.Unmarshal(text, &was) != nil {
		return ""
	}
	return was.Image.ID
}
