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
	s.misbehave(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("<html>Please sign in</html>"))
		return true
	})
	f := fetcher(t, Options{})
	_, err := f.Fetch(t.Context(), s.place(), Kernel)
	refused(t, err, false, "a proxy or a login page")
	s.misbehave(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, TestImage) {
			return false
		}
		_, _ = w.Write([]byte("<html>Please sign in</html>"))
		return true
	})
	_, err = f.Fetch(t.Context(), s.place(), TestImage)
	refused(t, err, false, "a proxy or a login page")
	s.misbehave(nil)
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
	s.misbehave(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(503)
		return true
	})
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
