package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
)

// evil breaks out of text, attributes, scripts and styles where it can, reorders
// text, and opens a terminal sequence that it never closes.
const evil = `"'><script>pwned()</script><img src=x onerror=pwned()>{{.}}</title></textarea>` + "\u202egnp.exe\x1b]0;title"

// TestHostileTexts puts one string everywhere a guest or an upstream may write,
// and looks for any trace of it but text.
func TestHostileTexts(t *testing.T) {
	n := newWorld(t)
	hash := strings.Repeat("e11", 13) + "e"
	c := orchestrator.Commit{Upstream: evil, Hash: hash, Position: 1, Author: evil, Email: evil, Subject: evil, Time: clock.Add(-time.Hour)}
	n.must(n.db.AddUpdate(t.Context(), evil, orchestrator.Update{New: []orchestrator.Commit{c}}))
	build := strings.Repeat("ab", 32)
	n.must(n.db.SetInputs(t.Context(), evil, "salt", map[string]string{hash: build}))
	n.build(orchestrator.Build{ID: build, Target: evil, Commit: hash, Status: suites.Passed, Reason: evil, Image: "sha256:" + evil, OS: evil, Finished: clock})
	job := orchestrator.Job{Commit: hash, Target: evil, Build: build, Image: evil, Machine: evil, Suite: evil}
	run := n.run(job, orchestrator.Run{
		Started: clock.Add(-time.Minute), Finished: clock, Status: suites.Broken, Reason: evil, BootID: evil, Kernel: evil,
		Accel: evil, Monitor: evil, Command: evil, Console: evil,
	}, []suites.Result{
		{Case: evil, Status: suites.Failed, Reason: evil, Metrics: map[string]float64{evil: 1}},
		{Case: orchestrator.CaseBoot, Status: suites.Passed},
	}, orchestrator.Crash{Title: evil, Signature: evil, Text: evil, Where: evil,
		Frames: []orchestrator.Frame{{Func: evil, File: evil, Line: 1}}})
	job.Suite = "live"
	live := n.begin(job, orchestrator.Run{Started: clock})
	n.regress(orchestrator.Regression{Upstream: evil, Target: evil, Machine: evil, Case: evil, State: orchestrator.Located,
		Good: evil, Bad: hash, Culprit: hash, Confidence: 1, Reason: evil, Run: run.ID, Opened: clock})

	log := newLog(evil)
	defer log.Close()
	opt := options()
	opt.Console = kept(evil)
	h := web.Handler(n, consoles{live.ID: log}, opt)
	for _, path := range []string{"/", "/run/" + run.ID, "/run/" + live.ID, "/commit/" + hash, "/regression/1", "/crashes", "/crash/" + url.PathEscape(evil), "/commit/%22%3E%3Cscript%3Epwned()"} {
		w, doc := get(t, h, path)
		harmless(t, path, doc)
		for _, bad := range []string{"\u202e", "\x1b", "\x00"} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s: contains %q", path, bad)
			}
		}
		if w.Code == 200 && !strings.Contains(doc.Text(), "<script>pwned()</script>") {
			t.Errorf("%s: the text itself is not shown", path)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(policy, "unsafe") ||
			w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, w.Header())
		}
	}
	w, _ := get(t, h, "/run/"+run.ID+"/console")
	if body := w.Body.String(); strings.ContainsAny(body, "\u202e\x1b") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("plain console: %q", body)
	}
}

// harmless fails for every element and attribute that only the evil string can
// have made, and for anything that the policy would block anyway.
func harmless(t *testing.T, path string, doc *goquery.Document) {
	t.Helper()
	doc.Find("*").Each(func(_ int, s *goquery.Selection) {
		node := s.Get(0)
		for _, a := range node.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s: <%s %s=%q>", path, node.Data, a.Key, a.Val)
			}
			if (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "/") && a.Val != "#main" {
				t.Errorf("%s: <%s> leads to %q", path, node.Data, a.Val)
			}
		}
	})
	if n := doc.Find("script").Length(); n != 1 {
		t.Errorf("%s: %d scripts, want the one of ours", path, n)
	}
	if n := doc.Find("img, iframe, object, embed, style, form, base").Length(); n != 0 {
		t.Errorf("%s: %d elements that the pages do not use", path, n)
	}
	if doc.Find("script").Text() != "" {
		t.Errorf("%s: a script in the page itself", path)
	}
}
