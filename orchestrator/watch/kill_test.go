package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// stalled is a git server that stops in the middle of a large answer until it is
// told to go on.
type stalled struct {
	http.Handler
	stuck chan struct{} // gets a value when an answer stopped
	gone  chan struct{} // and when its reader went away
	free  atomic.Bool   // do not stop
}

func (s *stalled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.free.Load() {
		s.Handler.ServeHTTP(w, r)
		return
	}
	s.Handler.ServeHTTP(&stallingWriter{ResponseWriter: w, s: s, r: r}, r)
}

type stallingWriter struct {
	http.ResponseWriter
	s    *stalled
	r    *http.Request
	sent int
}

func (w *stallingWriter) Write(p []byte) (int, error) {
	if w.sent += len(p); w.sent < 100<<10 {
		return w.ResponseWriter.Write(p)
	}
	_, _ = w.ResponseWriter.Write(p[:len(p)/2])
	w.ResponseWriter.(http.Flusher).Flush()
	w.s.stuck <- struct{}{}
	<-w.r.Context().Done()
	w.s.gone <- struct{}{}
	return 0, errors.New("reader is gone")
}

// stalledUpstream serves a history with half a megabyte that does not compress.
func stalledUpstream(t *testing.T) (*upstream, *stalled, string) {
	u := newUpstream(t)
	u.git("config", "uploadpack.allowFilter", "false")
	var noise strings.Builder
	for i := range 16 << 10 {
		sum := sha256.Sum256(fmt.Append(nil, i))
		noise.Write(sum[:])
	}
	u.write("noise", noise.String())
	u.commit("c1")
	s := &stalled{stuck: make(chan struct{}, 1), gone: make(chan struct{}, 1)}
	server := u.serve(func(h http.Handler) http.Handler { s.Handler = h; return s })
	// git's helper outlives a killed git by a minute when nobody hangs up.
	t.Cleanup(server.CloseClientConnections)
	return u, s, server.url
}

func TestCancelledFetch(t *testing.T) {
	_, s, url := stalledUpstream(t)
	m := mirror(t, url, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := m.Fetch(ctx, "")
		done <- err
	}()
	<-s.stuck
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-s.gone // no child of git's holds the connection
}

// fetchUntilKilled is the other process of TestKilledFetch.
func fetchUntilKilled(dir, url string) {
	ctx := context.Background()
	m, err := Open(ctx, Config{Upstream: "demo", URL: url, Branch: "main", Backfill: 1, Dir: dir})
	if err == nil {
		_, err = m.Fetch(ctx, "")
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	os.Exit(3)
}

func TestKilledFetch(t *testing.T) {
	u, s, url := stalledUpstream(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "WATCH_TEST_FETCH="+dir, "WATCH_TEST_URL="+url)
	other.Stderr = os.Stderr
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	<-s.stuck
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	// What a kill at worse moments leaves.
	for _, name := range []string{"packed-refs.lock", "config.lock", "shallow.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x", "gc.pid"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s.free.Store(true)
	m := reopen(t, Config{Upstream: "demo", URL: url, Branch: "main", Backfill: 1, Dir: dir})
	if got := fetch(t, m, ""); got.Head != u.head() {
		t.Errorf("%+v", got)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); leftover(rel) {
			t.Errorf("%s was left behind", rel)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOpenRemakesWhatIsHalfMade(t *testing.T) {
	u := newUpstream(t)
	head := u.commit("c1")
	for name, spoil := range map[string]func(dir string) error{
		"killed while made":    func(dir string) error { return os.Rename(dir, dir+".new") },
		"empty folder":         func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)) },
		"no HEAD":              func(dir string) error { return os.Remove(filepath.Join(dir, "HEAD")) },
		"empty HEAD":           func(dir string) error { return os.Truncate(filepath.Join(dir, "HEAD"), 0) },
		"empty configuration":  func(dir string) error { return os.Truncate(filepath.Join(dir, "config"), 0) },
		"broken configuration": func(dir string) error { return os.WriteFile(filepath.Join(dir, "config"), []byte("[core"), 0o644) },
		"no object folder":     func(dir string) error { return os.RemoveAll(filepath.Join(dir, "objects")) },
	} {
		t.Run(name, func(t *testing.T) {
			m := mirror(t, u.dir, 1)
			fetch(t, m, "")
			if err := spoil(m.cfg.Dir); err != nil {
				t.Fatal(err)
			}
			m = reopen(t, m.cfg)
			if got := fetch(t, m, ""); got.Head != head {
				t.Errorf("%+v", got)
			}
			if _, err := os.Stat(m.cfg.Dir + ".new"); !errors.Is(err, os.ErrNotExist) {
				t.Error("the temporary folder is left", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	precious := t.TempDir()
	if err := os.WriteFile(filepath.Join(precious, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	good := Config{Upstream: "demo", URL: "https://example.org/x.git", Branch: "main", Backfill: 1, Dir: filepath.Join(t.TempDir(), "m")}
	if _, err := Open(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"without a name":          func(c *Config) { c.Upstream = "" },
		"not a valid branch name": func(c *Config) { c.Branch = "a..b" },
		`"--x" is not a valid`:    func(c *Config) { c.Branch = "--x" },
		"not a repository's URL":  func(c *Config) { c.URL = "--upload-pack=touch x" },
		"backfill is 0":           func(c *Config) { c.Backfill = 0 },
		"is no folder":            func(c *Config) { c.Dir = "" },
		"not a mirror of ours":    func(c *Config) { c.Dir = precious },
		"context canceled":        nil,
	} {
		c, ctx := good, t.Context()
		if change != nil {
			change(&c)
		} else {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			cancel()
		}
		if _, err := Open(ctx, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(precious, "thesis.tex")); err != nil {
		t.Error(err)
	}
	m := mirror(t, "ext::sh -c touch% pwned", 1)
	if _, err := m.Fetch(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "transport 'ext' not allowed") {
		t.Error(err)
	}
}
