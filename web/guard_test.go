package web_test

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/web"
)

func TestHostCheck(t *testing.T) {
	opt := options()
	opt.Hosts = []string{"lab.example.org"}
	h := web.Handler(newWorld(t), web.Nothing{}, opt)
	for _, tc := range []struct {
		local, host string
		want        int
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", 200},
		{"127.0.0.1:8080", "localhost:8080", 200},
		{"127.0.0.1:8080", "LOCALHOST", 200},
		{"[::1]:8080", "[::1]:8080", 200},
		{"127.0.0.1:8080", "lab.example.org", 200},
		{"127.0.0.1:8080", "evil.example.org:8080", 421},
		{"127.0.0.1:8080", "127.0.0.1.evil.org", 421},
		{"127.0.0.1:8080", "192.0.2.1", 421},
		{"[::ffff:127.0.0.1]:8080", "evil.example.org", 421},
		{"192.0.2.1:8080", "anything.example.org", 200},
	} {
		local, err := net.ResolveTCPAddr("tcp", tc.local)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Host = tc.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local))))
		if w.Code != tc.want {
			t.Errorf("host %q at %s: %d, want %d", tc.host, tc.local, w.Code, tc.want)
		}
	}
}

func TestCompression(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	for _, path := range []string{"/", "/static/headwatch.css", "/api/v1/overview", "/run/" + n.failedRun + "/console"} {
		plain, _ := get(t, h, path)
		for accept, want := range map[string]string{"gzip": "gzip", "br, gzip;q=0.5": "gzip", "gzip;q=0": "", "identity": ""} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Accept-Encoding", accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := w.Header().Get("Content-Encoding"); got != want {
				t.Errorf("%s accepting %q: encoding %q", path, accept, got)
			}
			body := io.Reader(w.Body)
			if want == "gzip" {
				z, err := gzip.NewReader(body)
				if err != nil {
					t.Fatal(err)
				}
				body = z
			}
			if text, err := io.ReadAll(body); err != nil || string(text) != plain.Body.String() {
				t.Errorf("%s accepting %q: another body (%v)", path, accept, err)
			}
		}
	}
}

func TestStaticFiles(t *testing.T) {
	h := web.Handler(newWorld(t), web.Nothing{}, options())
	doc := page(t, h, "/")
	sheet, _ := doc.Find("link[rel=stylesheet]").Attr("href")
	script, _ := doc.Find("script").Attr("src")
	icon, _ := doc.Find("link[rel=icon]").Attr("href")
	for path, ctype := range map[string]string{sheet: "text/css", script: "text/javascript", icon: "image/svg+xml"} {
		w, _ := get(t, h, path)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), ctype) || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if strings.Contains(w.Body.String(), "//fonts.") || strings.Contains(w.Body.String(), "@import") {
			t.Errorf("%s: loads something from elsewhere", path)
		}
	}
	w, _ := get(t, h, "/static/headwatch.css?v=old")
	if got := w.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("an old address: %q", got)
	}
}

func TestHead(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	for _, path := range []string{"/", "/healthz", "/run/" + n.failedRun + "/console", "/run/" + n.liveRun + "/console/stream"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, path, nil))
		if w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d with %d bytes", path, w.Code, w.Body.Len())
		}
	}
}
