package artifacts

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

func fetched(t *testing.T, f *Fetcher, p Place, name string, want []byte) {
	t.Helper()
	file, err := f.Fetch(t.Context(), p, name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := os.ReadFile(file.Path)
	if err != nil || !bytes.Equal(got, want) || file.Size != int64(len(want)) {
		t.Errorf("%s: %d bytes (%v), want %d", name, len(got), err, len(want))
	}
}

func TestFetchThenOffline(t *testing.T) {
	s := serve(t, published(t))
	var last Progress
	f := fetcher(t, Options{Progress: func(p Progress) { last = p }})
	kernel := s.files[s.path(Kernel)]
	fetched(t, f, s.place(), Kernel, kernel)
	if want := (Progress{s.URL + s.path(Kernel), int64(len(kernel)), int64(len(kernel))}); last != want {
		t.Errorf("last progress %+v, want %+v", last, want)
	}
	fetched(t, f, s.place(), TestImage, s.files[s.path(TestImage)])
	place := s.place()
	s.Close()
	fetched(t, f, place, Kernel, kernel)
}

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
			s.bad = func(n int, w http.ResponseWriter, r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, TestImage) && tt.bad(s, n, w, r)
			}
			f := fetcher(t, Options{Stall: 500 * time.Millisecond})
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
			http.Redirect(w, r, r.URL.Path, 302)
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
			s.bad = func(n int, w http.ResponseWriter, r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, Kernel) && tt.bad(s, n, w, r)
			}
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

func refused(t *testing.T, err error, untestable bool, says string) {
	t.Helper()
	var infra *runners.InfraError
	if Untestable(err) != untestable || errors.As(err, &infra) == untestable {
		t.Errorf("untestable %v, want %v: %v", Untestable(err), untestable, err)
	}
	if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v: want %q", err, says)
	}
}

// TestWhatIsMissing tells a commit from a base and a branch.
func TestWhatIsMissing(t *testing.T) {
	s := serve(t, published(t))
	f := fetcher(t, Options{})
	for _, tt := range []struct {
		name       string
		change     func(*Place)
		file       string
		untestable bool
		says       string
	}{
		{"file", func(*Place) {}, Tests, true, "has other artifacts"},
		{"commit", func(p *Place) { p.Commit = otherCommit }, Kernel, true, "nothing of commit fedcba987654"},
		{"branch", func(p *Place) { p.Branch = "man" }, Kernel, false, "check the target's base and branch"},
		{"base", func(p *Place) { p.Base += "/x" }, Kernel, false, "check the target's base and branch"},
		{"host", func(p *Place) { p.Base = "http://nothing.invalid" }, Kernel, false, "check the"},
	} {
		p := s.place()
		tt.change(&p)
		_, err := f.Fetch(t.Context(), p, tt.file)
		if err == nil {
			t.Fatalf("%s: fetched", tt.name)
		}
		if errors.Is(err, ErrNotPublished) != tt.untestable {
			t.Errorf("%s: is it published? %v", tt.name, err)
		}
		refused(t, err, tt.untestable, tt.says)
	}
	// A server without folder listings still shows that the branch is there.
	delete(s.files, "/snapshot/main/")
	s.files["/snapshot/main/latest/amd64/amd64/revision.txt"] = []byte(otherCommit)
	p := s.place()
	p.Commit = strings.Repeat("0", 40)
	if _, err := f.Fetch(t.Context(), p, Kernel); !errors.Is(err, ErrNotPublished) {
		t.Errorf("without listings: %v", err)
	}
	if left, _, err := f.cache.Used(); left != 0 || err != nil {
		t.Errorf("%d bytes left in the cache, %v", left, err)
	}
}

func TestImagesHaveChecksums(t *testing.T) {
	image := packXZ(t, noise(5, 50_000))
	sum, _, _ := digestOf(t.Context(), bytes.NewReader(image))
	s := serve(t, map[string][]byte{"/r/FreeBSD-15.0-amd64.raw.xz": image,
		"/r/CHECKSUM.SHA256": []byte("SHA256 (FreeBSD-15.0-amd64.raw.xz) = " + sum + "\n")})
	f := fetcher(t, Options{})
	file, err := f.FetchURL(t.Context(), s.URL+"/r/FreeBSD-15.0-amd64.raw.xz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rec, err := f.cache.record(file.URL)
	if err != nil || file.Digest != sum || rec.Checked != s.URL+"/r/CHECKSUM.SHA256" {
		t.Errorf("%+v, %v: want digest %s and where it was published", rec, err, sum)
	}
	_, err = f.FetchURL(t.Context(), s.URL+"/r/other.raw.xz")
	refused(t, err, false, "check the URL")
}

// TestAPageIsNoFile: what a proxy says for a file is not the commit's fault.
func TestAPageIsNoFile(t *testing.T) {
	s := serve(t, published(t))
	s.bad = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("<html>Please sign in</html>"))
		return true
	}
	f := fetcher(t, Options{})
	_, err := f.Fetch(t.Context(), s.place(), Kernel)
	refused(t, err, false, "a proxy or a login page")
	s.bad = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, TestImage) {
			return false
		}
		_, _ = w.Write([]byte("<html>Please sign in</html>"))
		return true
	}
	_, err = f.Fetch(t.Context(), s.place(), TestImage)
	refused(t, err, false, "a proxy or a login page")
	s.bad = nil
	fetched(t, f, s.place(), TestImage, s.files[s.path(TestImage)]) // and it heals
}

func TestLatest(t *testing.T) {
	s := serve(t, published(t))
	f := fetcher(t, Options{})
	if got, err := f.Latest(t.Context(), s.place(), LatestTested); got != someCommit || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	s.files["/snapshot/main/latest/amd64/amd64/revision.txt"] = []byte("<html>")
	_, err := f.Latest(t.Context(), s.place(), LatestBuilt)
	refused(t, err, false, "is no commit")
	s.files["/snapshot/main/latest/amd64/amd64/revision.txt"] = make([]byte, 1<<20)
	_, err = f.Latest(t.Context(), s.place(), LatestBuilt)
	refused(t, err, false, "too large")
}

// TestReplacedOnTheServer: the digest of the first download outlives the file.
func TestReplacedOnTheServer(t *testing.T) {
	for _, name := range []string{Kernel, TestImage} {
		s := serve(t, published(t))
		f := fetcher(t, Options{})
		fetched(t, f, s.place(), name, s.files[s.path(name)])
		if err := f.cache.evict(entriesOf(t, f.cache), 0); err != nil {
			t.Fatal(err)
		}
		s.files[s.path(Kernel)] = packXZ(t, noise(7, 1000))
		s.files[s.path(TestImage)] = packZstd(t, noise(8, 1000))
		sum, _, _ := digestOf(t.Context(), bytes.NewReader(s.files[s.path(Kernel)]))
		s.files[s.path("MANIFEST")] = []byte(Kernel + "\t" + sum + "\t3\tkernel\t\"\"\ton\n")
		_, err := f.Fetch(t.Context(), s.place(), name)
		var changed *ChangedError
		if !errors.As(err, &changed) {
			t.Fatalf("%s: %v, want a ChangedError", name, err)
		}
		refused(t, err, false, "make the cache forget")
		if err := f.cache.Forget(t.Context(), changed.URL); err != nil {
			t.Fatal(err)
		}
		fetched(t, f, s.place(), name, s.files[s.path(name)])
	}
}

func TestContextEndsAFetch(t *testing.T) {
	s := serve(t, published(t))
	s.bad = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(503)
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := fetcher(t, Options{}).Fetch(ctx, s.place(), Kernel)
	if !errors.Is(err, context.DeadlineExceeded) || Untestable(err) {
		t.Errorf("%v, want the deadline", err)
	}
}

// TestNoWayToPlainHTTP: a redirect must not take the encryption away.
func TestNoWayToPlainHTTP(t *testing.T) {
	c := newClient(time.Second)
	from, _ := http.NewRequest("GET", "https://a.example/x", nil)
	to, _ := http.NewRequest("GET", "http://a.example/x", nil)
	if err := c.CheckRedirect(to, []*http.Request{from}); !errors.Is(err, errRedirect) {
		t.Errorf("from https to http: %v", err)
	}
	if err := c.CheckRedirect(from, []*http.Request{to}); err != nil {
		t.Errorf("from http to https: %v", err)
	}
}
