package web_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/web"
	"github.com/headwatch/headwatch/web/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestJSONGolden(t *testing.T) {
	n := seeded(t)
	opt := options()
	opt.Commits = 3
	h := web.Handler(n, web.Nothing{}, opt)
	for name, path := range map[string]string{
		"overview": "/api/v1/overview", "run_failed": "/api/v1/runs/" + n.failedRun, "run_running": "/api/v1/runs/" + n.liveRun,
		"regressions": "/api/v1/regressions", "commit": "/api/v1/commits/" + n.commits[2].Hash, "health": "/healthz",
		"missing": "/api/v1/runs/nosuchrun", "crashes": "/api/v1/crashes", "crash": "/api/v1/crashes/" + lossCrash.Signature,
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := get(t, h, path)
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("type %q", got)
			}
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, w.Body.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), w.Body.String()); diff != "" {
				t.Errorf("%s changed (-golden +now):\n%s", path, diff)
			}
		})
	}
}

// TestClientReadsServer keeps the client and the handler on one format: what the
// client has read, written again, is what the server sent.
func TestClientReadsServer(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	c, err := api.NewClient(listen(t, h), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	same := func(path string, doc any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w, _ := get(t, h, path)
		again, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(bytes.TrimSpace(w.Body.Bytes())), string(again)); diff != "" {
			t.Errorf("%s: read and written again (-sent +again):\n%s", path, diff)
		}
	}
	overview, err := c.Overview(ctx)
	same(api.PathOverview, overview, err)
	run, err := c.Run(ctx, n.failedRun)
	same(api.PathRuns+n.failedRun, run, err)
	regressions, err := c.Regressions(ctx)
	same(api.PathRegressions, regressions, err)
	commit, err := c.Commit(ctx, n.commits[2].Hash)
	same(api.PathCommits+n.commits[2].Hash, commit, err)
	crashes, err := c.Crashes(ctx)
	same(api.PathCrashes, crashes, err)
	crash, err := c.Crash(ctx, lossCrash.Signature)
	same(api.PathCrashes+"/"+lossCrash.Signature, crash, err)
	health, err := c.Health(ctx)
	same(api.PathHealth, health, err)
	if _, err := c.Run(ctx, "nosuchrun"); !api.IsNotFound(err) {
		t.Errorf("an unknown run: %v", err)
	}
	if _, err := c.Crash(ctx, "nosuchcrash"); !api.IsNotFound(err) {
		t.Errorf("an unknown crash: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestErrorsAreJSONForPrograms(t *testing.T) {
	h := web.Handler(newWorld(t), web.Nothing{}, options())
	for path, code := range map[string]string{"/api/v1/commits/x": "not_found", "/api/v2/": "not_found"} {
		w, _ := get(t, h, path)
		var f api.Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Error.Code != code || f.Error.Message == "" {
			t.Errorf("%s: %s (%v)", path, w.Body, err)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, api.PathOverview, nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, allow %q", w.Code, w.Header().Get("Allow"))
	}
}
