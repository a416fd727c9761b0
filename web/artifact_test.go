package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

type openFile struct{ *strings.Reader }

func (openFile) Close() error { return nil }

const hostileSVG = `<svg xmlns="http://www.w3.org/2000/svg"><script>pwned()</script></svg>`

// withArtifacts is a run whose case kept a picture, a capture, a page and a file that is
// gone.
func withArtifacts(t *testing.T) (http.Handler, orchestrator.Run) {
	t.Helper()
	n := newWorld(t)
	build := strings.Repeat("ab", 32)
	n.must(n.db.AddUpdate(t.Context(), "freebsd", orchestrator.Update{New: []orchestrator.Commit{{Upstream: "freebsd", Hash: strings.Repeat("c", 40), Position: 1, Time: clock}}}))
	n.build(orchestrator.Build{ID: build, Target: bsd, Commit: strings.Repeat("c", 40), Status: suites.Passed, Image: "sha256:" + build, Finished: clock})
	r := n.begin(orchestrator.Job{Commit: strings.Repeat("c", 40), Target: bsd, Build: build, Image: "sha256:" + build, Machine: "lean", Suite: "tcp"}, orchestrator.Run{Started: clock})
	for _, name := range []string{"tcp/loss", "tcp/other"} {
		n.must(n.db.AddResult(t.Context(), r.ID, suites.Result{Case: name, Status: suites.Failed, Reason: "lost"}))
	}
	r.Status, r.State, r.Finished = suites.Failed, orchestrator.RunFinished, clock
	var kept []orchestrator.Artifact
	for name, mediaType := range map[string]string{"stream1.svg": "image/svg+xml", "wire.pcapng": "application/x-pcapng", "page.html": "text/html", "gone.txt": "text/plain"} {
		kept = append(kept, orchestrator.Artifact{Run: r.ID, Case: "tcp/loss", Name: name, MediaType: mediaType,
			Size: int64(len(hostileSVG)), SHA256: strings.Repeat("0", 64), Path: "artifacts/" + r.ID + "/loss/" + name})
	}
	n.must(n.db.FinishRun(t.Context(), r, nil, kept...))
	opt := options()
	opt.Artifact = func(_ context.Context, a orchestrator.Artifact) (io.ReadSeekCloser, error) {
		if a.Name == "gone.txt" {
			return nil, fs.ErrNotExist
		}
		if a.Path != "artifacts/"+r.ID+"/loss/"+a.Name {
			return nil, errors.New("another file was asked for")
		}
		return openFile{strings.NewReader(hostileSVG)}, nil
	}
	return web.Handler(n, web.Nothing{}, opt), r
}

// TestArtifactsAreServed: each with a type that no browser runs, and what it may do by
// itself forbidden.
func TestArtifactsAreServed(t *testing.T) {
	h, r := withArtifacts(t)
	for name, want := range map[string]struct{ ctype, disposition string }{
		"stream1.svg": {"image/svg+xml", "inline"},
		"wire.pcapng": {"application/octet-stream", "attachment"},
		"page.html":   {"application/octet-stream", "attachment"},
	} {
		w, _ := get(t, h, "/run/"+r.ID+"/artifact/tcp/loss/"+name)
		head := w.Header()
		if w.Code != 200 || w.Body.String() != hostileSVG || head.Get("Content-Type") != want.ctype || head.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %v", name, w.Code, head)
		}
		policy := head.Get("Content-Security-Policy")
		if !strings.Contains(policy, "sandbox;") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "script") {
			t.Errorf("%s: policy %q", name, policy)
		}
		if got := head.Get("Content-Disposition"); got != want.disposition+"; filename="+r.ID+"-tcp-loss-"+name {
			t.Errorf("%s: disposition %q", name, got)
		}
	}
	for path, want := range map[string]int{
		"/tcp/loss/gone.txt": 404, "/tcp/loss/none": 404, "/tcp/other/stream1.svg": 404, "/tcp/loss/..%2f..%2fheadwatch.db": 404, "/tcp/loss/stream1.svg/more": 404,
	} {
		if w, _ := get(t, h, "/run/"+r.ID+"/artifact"+path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if w, _ := get(t, h, "/run/nosuch/artifact/tcp/loss/stream1.svg"); w.Code != 404 {
		t.Errorf("of no run: %d", w.Code)
	}
}

// A large capture can be fetched in parts, and not again when it is there already.
func TestArtifactsInParts(t *testing.T) {
	h, r := withArtifacts(t)
	ask := func(key, value string) *httptest.ResponseRecorder {
		q := httptest.NewRequest(http.MethodGet, "/run/"+r.ID+"/artifact/tcp/loss/wire.pcapng", nil)
		q.Header.Set(key, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w
	}
	if w := ask("Range", "bytes=1-3"); w.Code != http.StatusPartialContent || w.Body.String() != hostileSVG[1:4] {
		t.Errorf("a part: %d %q", w.Code, w.Body)
	}
	if w := ask("If-None-Match", `"`+strings.Repeat("0", 64)+`"`); w.Code != http.StatusNotModified {
		t.Errorf("the same again: %d", w.Code)
	}
}

// TestArtifactsAreListed: under their case, pictures in place, and in the JSON.
func TestArtifactsAreListed(t *testing.T) {
	h, r := withArtifacts(t)
	doc := page(t, h, "/run/"+r.ID)
	at := "/run/" + r.ID + "/artifact/tcp/loss/"
	row := doc.Find("tr.result").FilterFunction(func(_ int, s *goquery.Selection) bool { return text(s.Find(".case")) == "tcp/loss" }).Next()
	if row.Find("img").Length() != 1 || row.Find(`img[src="`+at+`stream1.svg"]`).Length() != 1 || doc.Find("tr.kept").Length() != 1 {
		t.Errorf("pictures: %s", text(row))
	}
	for name, download := range map[string]bool{"stream1.svg": false, "wire.pcapng": true, "page.html": true, "gone.txt": false} {
		link := row.Find(`a[href="` + at + name + `"]`).Last()
		if _, has := link.Attr("download"); link.Length() == 0 || has != download {
			t.Errorf("%s: %d links, download %v", name, link.Length(), has)
		}
	}
	w, _ := get(t, h, api.PathRuns+r.ID)
	var got api.Run
	if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 2 || len(got.Results[0].Artifacts) != 4 || got.Results[1].Artifacts != nil {
		t.Fatalf("%+v", got.Results)
	}
	if a := got.Results[0].Artifacts[2]; a.URL != at+"stream1.svg" || a.SizeBytes != int64(len(hostileSVG)) || a.MediaType != "image/svg+xml" || len(a.SHA256) != 64 {
		t.Errorf("%+v", a)
	}
}
