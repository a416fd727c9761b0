package watch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("WATCH_TEST_FETCH"); dir != "" {
		fetchUntilKilled(dir, os.Getenv("WATCH_TEST_URL"))
		return
	}
	goleak.VerifyTestMain(m)
}

// upstream is a real repository with a working tree.
type upstream struct {
	t   *testing.T
	dir string
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	u := &upstream{t, filepath.Join(t.TempDir(), "up")}
	u.git("init", "-q", "-b", "main", u.dir)
	u.git("config", "uploadpack.allowFilter", "true")
	return u
}

func (u *upstream) cmd(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(u.t.Context(), "git", args...)
	if _, err := os.Stat(u.dir); err == nil {
		cmd.Dir = u.dir
	}
	cmd.Env = append(gitEnv(os.Environ(), os.DevNull),
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=Com", "GIT_COMMITTER_EMAIL=com@example.org", "GIT_COMMITTER_DATE=1700000000 +0000")
	return cmd
}

func (u *upstream) git(args ...string) string {
	u.t.Helper()
	return u.pipe("", args...)
}

func (u *upstream) pipe(stdin string, args ...string) string {
	u.t.Helper()
	cmd := u.cmd(args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		u.t.Fatalf("git %q: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(out.String())
}

// commit changes a file and commits it with the message as subject.
func (u *upstream) commit(subject string) string {
	u.t.Helper()
	u.write("sys/kern/file.c", "content of "+subject+"\n")
	u.git("add", "-A")
	u.git("commit", "-q", "-m", subject)
	return u.head()
}

func (u *upstream) commits(prefix string, n int) []string {
	u.t.Helper()
	var hashes []string
	for i := range n {
		hashes = append(hashes, u.commit(fmt.Sprintf("%s%d", prefix, i+1)))
	}
	return hashes
}

func (u *upstream) write(name, content string) {
	u.t.Helper()
	path := filepath.Join(u.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		u.t.Fatal(err)
	}
}

func (u *upstream) head() string { return u.git("rev-parse", "HEAD") }

// serve offers the repository by git's own HTTP server, with a door in front that
// may be nil.
func (u *upstream) serve(door func(http.Handler) http.Handler) *httpServer {
	u.t.Helper()
	backend := filepath.Join(u.git("--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		u.t.Skip("git http-backend is not installed")
	}
	var h http.Handler = &cgi.Handler{
		Path:   backend,
		Env:    []string{"GIT_PROJECT_ROOT=" + u.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull},
		Stderr: io.Discard,
	}
	if door != nil {
		h = door(h)
	}
	s := &httpServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests++
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	u.t.Cleanup(s.Close)
	s.url = s.URL + "/.git"
	return s
}

type httpServer struct {
	*httptest.Server
	url string

	mu       sync.Mutex
	requests int
}

func (s *httpServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// mirror opens a mirror of url in a new folder.
func mirror(t *testing.T, url string, backfill int) *Mirror {
	t.Helper()
	return reopen(t, Config{
		Upstream: "demo", URL: url, Branch: "main", Backfill: backfill,
		Dir: filepath.Join(t.TempDir(), "state", "mirror"),
	})
}

func reopen(t *testing.T, cfg Config) *Mirror {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(testLog{t}, nil))
	m, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// blobs counts the file contents that the mirror holds.
func blobs(t *testing.T, m *Mirror) int {
	t.Helper()
	out, err := m.git.output(context.Background(), 1<<20, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(out), "blob\n")
}
