package artifacts

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMisbehaviour lets the server fail once or twice and expects the file.
func TestMisbehaviour(t *testing.T) {
	image := func(s *server) []byte { return s.files[s.path(TestImage)] }
	status := func(code int, header ...string) func(*server, int, http.ResponseWriter, *http.Request) bool {
		return func(_ *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	for _, tt := range []struct {
		name string
		bad  func(s *server, n int, w http.ResponseWriter, r *http.Request) bool
		want []string // requests, when they matter
	}{
		{"500 then OK", status(500), nil},
		{"503 with Retry-After", status(503, "Retry-After", "1"), nil},
		{"429", status(429), nil},
		{"cut in the middle, resumed", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("ETag", etag(image(s)))
			w.Header().Set("Content-Length", itoa(len(image(s))))
			_, _ = w.Write(image(s)[:200_000])
			panic(http.ErrAbortHandler)
		}, []string{"disk-test.img.zst", "disk-test.img.zst from 200000"}},
		{"ETag changes between", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("ETag", `"another"`)
			w.Header().Set("Content-Length", itoa(len(image(s))))
			_, _ = w.Write(noise(9, 200_000))
			panic(http.ErrAbortHandler)
		}, []string{"disk-test.img.zst", "disk-test.img.zst from 200000"}},
		{"no version to resume by", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", itoa(len(image(s))))
			_, _ = w.Write(noise(9, 200_000))
			panic(http.ErrAbortHandler)
		}, []string{"disk-test.img.zst", "disk-test.img.zst"}},
		{"ignores Range", func(s *server, n int, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			if n > 1 {
				return false
			}
			cut(w, len(image(s)), image(s)[:100_000])
			return true
		}, nil},
		{"a range that was not asked for", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			switch n {
			case 1:
				cut(w, len(image(s)), image(s)[:100_000])
			case 2:
				w.Header().Set("Content-Range", "bytes 0-9/"+itoa(len(image(s))))
				w.WriteHeader(206)
				_, _ = w.Write(image(s)[:10])
			default:
				return false
			}
			return true
		}, []string{"disk-test.img.zst", "disk-test.img.zst from 100000", "disk-test.img.zst"}},
		{"announces too little", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			cut(w, len(image(s))-1000, image(s))
			return true
		}, nil},
		{"damaged on the way, once", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			b := bytes.Clone(image(s))
			b[300_000] ^= 1
			cut(w, len(b), b)
			return true
		}, []string{"disk-test.img.zst", "disk-test.img.zst"}},
		{"silence", func(s *server, n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("ETag", etag(image(s)))
			w.Header().Set("Content-Length", itoa(len(image(s))))
			_, _ = w.Write(image(s)[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, []string{"disk-test.img.zst", "disk-test.img.zst from 1000"}},
		{"slow, but never silent", func(s *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("ETag", etag(image(s)))
			w.Header().Set("Content-Length", itoa(len(image(s))))
			for b := image(s); len(b) > 0; b = b[min(len(b), 60_000):] {
				_, _ = w.Write(b[:min(len(b), 60_000)])
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond) // the slowness itself; nothing waits for it
			}
			return true
		}, nil},
		{"does not say how much", func(s *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(image(s)[:10])
			w.(http.Flusher).Flush()
			_, _ = w.Write(image(s)[10:])
			return true
		}, []string{"disk-test.img.zst"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, published(t))
			s.misbehave(func(n int, w http.ResponseWriter, r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, TestImage) && tt.bad(s, n, w, r)
			})
			o := Options{}
			if strings.Contains(tt.name, "silen") {
				o.Stall = 500 * time.Millisecond
			}
			f := fetcher(t, o)
			fetched(t, f, s.place(), TestImage, image(s))
			if got := s.requests(TestImage); tt.want != nil && !cmp.Equal(got, tt.want) {
				t.Errorf("requests %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRefusals lets the server fail for good and expects the right class.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name       string
		bad        func(s *server, n int, w http.ResponseWriter, r *http.Request) bool
		untestable bool
		says       string
		most       int // requests for the kernel
	}{
		{"500 for ever", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(500)
			return true
		}, false, "gave up after 3 requests; check the network", 3},
		{"come back tomorrow", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(503)
			return true
		}, false, "asks to wait for 24h", 1},
		{"forbidden", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(403)
			return true
		}, false, "credentials", 1},
		{"redirect loop", func(_ *server, _ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, false, "redirected too often", 7},
		{"huge", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			cut(w, 1<<50, []byte("x"))
			return true
		}, false, "announces 1125899906842624 bytes", 1},
		{"larger than the cache", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			cut(w, 80<<20, []byte("x"))
			return true
		}, false, "the artifact cache may hold", 1},
		{"no end", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			for range 200 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			return true
		}, false, "too large", 1},
		{"always cut at the same place", func(s *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			cut(w, 300_000, noise(3, 1000))
			return true
		}, false, "ended early", 6},
		{"truncated on the server", func(s *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(s.files[s.path(Kernel)][:1000])
			return true
		}, true, "corrupted: found sha256 ", 2},
		{"another file each time", func(_ *server, n int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(noise(uint64(n), 1000))
			return true
		}, false, "damaged on the way", 3},
		{"gone", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(410)
			return true
		}, true, "not published, though", 1},
		{"packed once more", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			return true
		}, false, "gzip", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, published(t))
			s.misbehave(func(n int, w http.ResponseWriter, r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, Kernel) && tt.bad(s, n, w, r)
			})
			f := fetcher(t, Options{Attempts: 3, MaxFile: 100 << 20})
			file, err := f.Fetch(t.Context(), s.place(), Kernel)
			if err == nil {
				file.Close()
				t.Fatal("fetched")
			}
			refused(t, err, tt.untestable, tt.says)
			if got := s.requests(Kernel); len(got) > tt.most {
				t.Errorf("%d requests, want at most %d: %q", len(got), tt.most, got)
			}
		})
	}
}
