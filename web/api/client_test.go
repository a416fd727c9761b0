package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/web/api"
)

func serve(t *testing.T, h http.HandlerFunc) *api.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := api.NewClient(s.URL+"/", s.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientReadsDocument(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/runs/abc" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("asked %s, accepting %q", r.URL.Path, r.Header.Get("Accept"))
		}
		io.WriteString(w, `{"run":"abc","status":"failed","results":[{"case":"tcp/x","status":"failed","duration_s":1.5}],"started":"2026-01-02T03:04:05Z"}`)
	})
	run, err := c.Run(t.Context(), "abc")
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != "failed" || len(run.Results) != 1 || run.Results[0].DurationS != 1.5 || run.Started.Hour() != 3 {
		t.Errorf("read %+v", run)
	}
}

func TestClientErrors(t *testing.T) {
	cases := map[string]struct {
		status   int
		body     string
		want     string
		notFound bool
	}{
		"error body":   {404, `{"error":{"code":"not_found","message":"no run \"abc\""}}`, `no run "abc"`, true},
		"a proxy's":    {502, "<h1>Bad Gateway</h1>", "502 Bad Gateway", false},
		"not JSON":     {200, "<html>", "did not answer with a headwatch document", false},
		"empty object": {500, `{}`, "500 Internal Server Error", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			_, err := c.Run(t.Context(), "abc")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q in it", err, tc.want)
			}
			if api.IsNotFound(err) != tc.notFound {
				t.Errorf("IsNotFound = %v", !tc.notFound)
			}
		})
	}
}

func TestClientBoundsTheAnswer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if _, err := c.Overview(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestClientHonoursContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Health(ctx); err == nil {
		t.Error("no error after the deadline")
	}
}

func TestNewClientRefusesBadAddresses(t *testing.T) {
	for _, base := range []string{"", "localhost:8080", "ftp://x", "http://", "http://[::1"} {
		if _, err := api.NewClient(base, nil); err == nil {
			t.Errorf("%q: accepted", base)
		}
	}
}
