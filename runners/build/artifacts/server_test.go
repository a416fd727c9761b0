package artifacts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// server serves files by path, and lets a test misbehave first.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	gets  []string // "path" or "path from offset", in order
	sent  map[string]int64
	// bad answers the n-th request for a path, from 1, and reports whether it did.
	bad func(n int, w http.ResponseWriter, r *http.Request) bool
}

func serve(t testing.TB, files map[string][]byte) *server {
	s := &server{files: files, sent: make(map[string]int64)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) misbehave(bad func(n int, w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = bad
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	get := r.URL.Path
	if v := r.Header.Get("Range"); v != "" {
		get += " from " + strings.TrimSuffix(strings.TrimPrefix(v, "bytes="), "-")
	}
	s.gets = append(s.gets, get)
	n := 0
	for _, g := range s.gets {
		if p, _, _ := strings.Cut(g, " "); p == r.URL.Path {
			n++
		}
	}
	body, ok := s.files[r.URL.Path]
	bad := s.bad
	s.mu.Unlock()
	if bad != nil && bad(n, w, r) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+fmt.Sprint(len(body))+`"`)
	http.ServeContent(&counter{w, s, r.URL.Path}, r, "", time.Time{}, bytes.NewReader(body))
}

type counter struct {
	http.ResponseWriter
	s    *server
	path string
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.s.mu.Lock()
	c.s.sent[c.path] += int64(n)
	c.s.mu.Unlock()
	return n, err
}

// requests returns what was asked for below the path's last element.
func (s *server) requests(name string) (got []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gets {
		if p, _, _ := strings.Cut(g, " "); path.Base(p) == name {
			got = append(got, path.Base(p)+strings.TrimPrefix(g, p))
		}
	}
	return got
}

// noise is what compression cannot shrink.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

func packXZ(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packZstd(t testing.TB, plain []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(plain, nil)
}

// published is a branch with one commit: kernel.txz, MANIFEST and a test image.
func published(t testing.TB) map[string][]byte {
	kernel, image := packXZ(t, noise(1, 300_000)), packZstd(t, noise(2, 400_000))
	sum, _, _ := digestOf(context.Background(), bytes.NewReader(kernel))
	dir := "/snapshot/main/" + someCommit + "/amd64/amd64/"
	return map[string][]byte{
		dir + Kernel:         kernel,
		dir + TestImage:      image,
		dir + "MANIFEST":     []byte(Kernel + "\t" + sum + "\t3\tkernel\t\"Kernel (MANDATORY)\"\ton\n"),
		dir + "revision.txt": []byte(someCommit + "\n"),
		"/snapshot/main/":    []byte("<html>"),
		"/snapshot/main/latest_tested/amd64/amd64/revision.txt": []byte(someCommit + "\n"),
	}
}

// fetcher is one that does not wait long, with an empty cache of 64 MiB.
func fetcher(t testing.TB, o Options) *Fetcher {
	t.Helper()
	c, err := OpenCache(t.TempDir(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	return fetcherOf(t, c, o)
}

func fetcherOf(t testing.TB, c *Cache, o Options) *Fetcher {
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	if o.Stall == 0 {
		o.Stall = 20 * time.Second
	}
	f := NewFetcher(c, o)
	t.Cleanup(f.Close)
	return f
}

func (s *server) place() Place { return Place{s.URL, "main", someCommit, "amd64"} }

func (s *server) path(name string) string {
	return "/snapshot/main/" + someCommit + "/amd64/amd64/" + name
}

// cut answers with a part of the body and hangs up.
func cut(w http.ResponseWriter, length int, body []byte) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nETag: \"cut\"\r\nContent-Length: %d\r\n\r\n", length)
	_, _ = io.Copy(rw, bytes.NewReader(body))
	_ = rw.Flush()
}
