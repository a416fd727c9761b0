package build

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// TestTrimForgetsImagesThatAreGone: a record goes when it is old and its image is
// gone, and not before.
func TestTrimForgetsImagesThatAreGone(t *testing.T) {
	cache := t.TempDir()
	m := &freebsdTree{cfg: Config{Cache: cache}}
	limit := time.Now().Add(-time.Hour)
	for key, at := range map[string]time.Time{"gone": limit.Add(-time.Minute), "here": limit.Add(-time.Minute), "young": limit.Add(time.Minute)} {
		if err := m.remember("sha256:"+key, runners.Image{ID: "sha256:" + key}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(m.madePath("sha256:"+key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	has := func(image string) bool { return image == "sha256:here" }
	for _, dry := range []bool{true, false} {
		got, err := Trim(cache, limit, has, dry)
		if err != nil || got.Records != 1 || got.Bytes == 0 || got.Objects != nil {
			t.Errorf("dry %v: %+v, %v", dry, got, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(cache, "made", "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left %q, %v", left, err)
	}
	if got, err := Trim(filepath.Join(cache, "none"), limit, has, false); err != nil || got.Records != 0 {
		t.Errorf("no cache: %+v, %v", got, err)
	}
}
