package web_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/web"
)

func options() web.Options {
	return web.Options{Now: now, Unknown: unknown, Console: kept(bootText), Log: slog.New(slog.DiscardHandler)}
}

// get asks a handler without a socket between.
func get(t testing.TB, h http.Handler, path string) (*httptest.ResponseRecorder, *goquery.Document) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return w, doc
}

func page(t testing.TB, h http.Handler, path string) *goquery.Document {
	t.Helper()
	w, doc := get(t, h, path)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
	}
	return doc
}

// text is what a selection says, element by element, with single spaces.
func text(s *goquery.Selection) string {
	var words []string
	var walk func(*goquery.Selection)
	walk = func(s *goquery.Selection) {
		s.Contents().Each(func(_ int, part *goquery.Selection) {
			if goquery.NodeName(part) == "#text" {
				words = append(words, strings.Fields(part.Text())...)
				return
			}
			walk(part)
		})
	}
	walk(s)
	return strings.Join(words, " ")
}

func expect(t testing.TB, doc *goquery.Document, selector, want string) {
	t.Helper()
	if got := text(doc.Find(selector)); got != want {
		t.Errorf("%s: got %q, want %q", selector, got, want)
	}
}

func TestOverviewPage(t *testing.T) {
	n := seeded(t)
	doc := page(t, web.Handler(n, web.Nothing{}, options()), "/")
	expect(t, doc, ".health .now", "1 run under way, 3 jobs not done")
	expect(t, doc, "#h-regressions + .muted", "2 cases turned bad")
	expect(t, doc, ".reg:first-child h3", "console/panic_race linux-cloud on smp4 · freebsd")
	expect(t, doc, ".reg:last-child .who", "b4c7b4c7b4 tcp: rack: account for SACKed bytes in recovery by Oluwaseun Adeyemi")
	expect(t, doc, ".reg:last-child .conf", "99.9 %")
	expect(t, doc, "#running a b", "tcp")
	if href, _ := doc.Find("#running a").First().Attr("href"); href != "/run/"+n.liveRun {
		t.Errorf("the running run is linked at %q", href)
	}
	if rows := doc.Find(".grid tbody tr").Length(); rows != len(n.commits) {
		t.Errorf("%d rows, want %d", rows, len(n.commits))
	}
	var heads []string
	doc.Find(".grid thead tr").Last().Find("th").Each(func(_ int, s *goquery.Selection) { heads = append(heads, text(s)) })
	if got, want := strings.Join(heads, " "), "commit build boot smoke console tcp build boot smoke console tcp boot smoke console tcp"; got != want {
		t.Errorf("columns: %s", got)
	}
	if at, _ := doc.Find(".grid time").First().Attr("title"); at != "2026-03-14 06:21:00 UTC" {
		t.Errorf("the exact time of the newest commit is %q", at)
	}
}

func TestOverviewCells(t *testing.T) {
	n := seeded(t)
	doc := page(t, web.Handler(n, web.Nothing{}, options()), "/")
	cases := []struct {
		row, column       int // columns count from 0, the build of the first target
		status, says, run string
	}{
		{0, 0, "waiting", "build: waiting", ""},
		{1, 9, "running", "tcp: running", n.liveRun},
		{3, 4, "failed", "tcp: failed; same build as d2e7d2e7d2", ""},
		{4, 4, "failed", "tcp: failed (1 passed, 2 failed, 1 skipped, 1 expected failure)", n.failedRun},
		{5, 4, "passed", "tcp: passed", n.passedRun},
		{6, 12, "broken", "console: broken: start QEMU: no space left on device; free some space below the state directory", n.rigRun},
		{7, 0, "failed", "build: failed: sys/net/if_bridge.c:2811:14: error: use of undeclared identifier 'bif'", ""},
		{7, 11, "skipped", "smoke: skipped", ""},
	}
	for _, tc := range cases {
		cell := doc.Find(".grid tbody tr").Eq(tc.row).Find("td:not(.grp)").Eq(tc.column).Find(".cell")
		if !cell.HasClass("s-" + tc.status) {
			class, _ := cell.Attr("class")
			t.Errorf("row %d column %d: class %q, want %s", tc.row, tc.column, class, tc.status)
		}
		title, _ := cell.Attr("title")
		if says := text(cell.Find(".vh")); !strings.HasPrefix(says, tc.says) || title != says {
			t.Errorf("row %d column %d: says %q with title %q, want %q", tc.row, tc.column, says, title, tc.says)
		}
		if href, _ := cell.Attr("href"); tc.run != "" && href != "/run/"+tc.run {
			t.Errorf("row %d column %d: links to %q", tc.row, tc.column, href)
		}
	}
	if doc.Find(".grid tbody tr").Eq(2).Find("sup").Length() != 14 {
		t.Error("a shared build is not marked in every cell of its commit")
	}
	if doc.Find(".grid tbody tr").Eq(4).Find("sup").Length() != 0 {
		t.Error("a build of its own is marked as shared")
	}
}

func TestRunPage(t *testing.T) {
	n := seeded(t)
	doc := page(t, web.Handler(n, web.Nothing{}, options()), "/run/"+n.failedRun)
	expect(t, doc, "h1", "tcp freebsd-amd64 on lean")
	expect(t, doc, ".title .st", "✗ failed")
	expect(t, doc, "#results .head .muted", "2 passed, 2 failed, 1 skipped, 1 expected failure")
	row := doc.Find("tr.result").Eq(2)
	if got, want := text(row), "tcp/loss_recovery ✗ failed 4 of 64 segments were never sent again; the flow stood still for 38.2 s "+
		"completion_s 38.2 39.4 s"; got != want {
		t.Errorf("row reads %q", got)
	}
	expect(t, doc, "#reproduce", "headwatch reproduce "+n.failedRun)
	if !strings.HasPrefix(doc.Find("#command").Text(), "qemu-system-x86_64 -nodefaults ") {
		t.Error("the exact command line is not shown")
	}
	expect(t, doc, ".crash summary bdi", "panic: sbsndptr_adv: sbsndmbuf mismatch")
	facts := text(doc.Find("dl.facts"))
	for _, want := range []string{"Kernel FreeBSD 15.0-CURRENT #0 main-n294407", "Accelerator kvm", "Monitor QEMU 7.2.22", "Boot time 8.41 s", "Seed 1234567", "Host lab1"} {
		if !strings.Contains(facts, want) {
			t.Errorf("facts lack %q: %s", want, facts)
		}
	}
	if console := doc.Find("#console").Text(); !strings.Contains(console, "Starting the agent\npanic:") {
		t.Errorf("console: %q", console)
	}
	if _, live := doc.Find("#console").Attr("data-stream"); live {
		t.Error("a finished run's console is streamed")
	}
	if _, again := doc.Find("main").Attr("data-refresh"); again {
		t.Error("a finished run's page refreshes")
	}
}

func TestRunPageWhileRunning(t *testing.T) {
	n := seeded(t)
	log := newLog("booting\n")
	defer log.Close()
	doc := page(t, web.Handler(n, consoles{n.liveRun: log}, options()), "/run/"+n.liveRun)
	expect(t, doc, ".title .st", "● running")
	expect(t, doc, "#console", "booting")
	if at, _ := doc.Find("#console").Attr("data-stream"); at != "/run/"+n.liveRun+"/console/stream" {
		t.Errorf("streams from %q", at)
	}
	elsewhere := page(t, web.Handler(n, web.Nothing{}, options()), "/run/"+n.liveRun)
	if note := text(elsewhere.Find(".note")); !strings.Contains(note, "under way in another process") {
		t.Errorf("without the console here, the page says %q", note)
	}
}

func TestCommitAndRegressionPages(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	doc := page(t, h, "/commit/"+n.commits[7].Hash)
	expect(t, doc, "h1", "bridge(4): Fix a potential use-after-free")
	if got := text(doc.Find("tr.build").First()); !strings.HasPrefix(got, "freebsd-amd64 ✗ failed") || !strings.Contains(got, "if_bridge.c:2811") {
		t.Errorf("build row reads %q", got)
	}
	shared := page(t, h, "/commit/"+n.commits[2].Hash)
	if got := text(shared.Find("tr.build").First()); !strings.Contains(got, "made from c357c357c3") {
		t.Errorf("a shared build reads %q", got)
	}
	reg := page(t, h, "/regression/1")
	expect(t, reg, "h1", "tcp/loss_recovery freebsd-amd64 on lean")
	expect(t, reg, "tr.evidence:first-child", "a537a537a5 last good tcp: remove unused tcpcb field 1 0 0 0")
	expect(t, reg, "tr.evidence:last-child", "b4c7b4c7b4 first bad, culprit tcp: rack: account for SACKed bytes in recovery 0 1 0 0")
	open := page(t, h, "/regression/2")
	expect(t, open, "#h-culprit", "Culprit")
	if !strings.Contains(text(open.Find("main")), "The search goes on.") {
		t.Error("an open regression does not say that it is searched")
	}
}

func TestEmptyStore(t *testing.T) {
	doc := page(t, web.Handler(newWorld(t), web.Nothing{}, options()), "/")
	expect(t, doc, ".health .now", "Nothing runs now")
	expect(t, doc, "#regressions .calm", "✓ None. No case has turned bad on what was tested.")
	expect(t, doc, "section:last-of-type .note", "No upstream is followed yet. Its commits appear here after the first pass.")
}

func TestMissingPages(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	for path, want := range map[string]string{
		"/run/nosuchrun":           `run "nosuchrun": not found`,
		"/commit/zzz":              `commit "zzz": not found`,
		"/regression/77":           `regression "77": not found`,
		"/regression/x":            `regression "x": want a number`,
		"/crash/nosuchcrash":       `crash "nosuchcrash": not found`,
		"/nothing/here":            "there is no page at this address",
		"/run/%3Cscript%3E":        `run "<script>": not found`,
		"/run/nosuchrun/console":   `run "nosuchrun": not found`,
		"/static/secret.html":      `no file "secret.html" here`,
		"/run/" + n.liveRun + "/x": "there is no page at this address",
	} {
		w, doc := get(t, h, path)
		if w.Code != http.StatusNotFound || text(doc.Find(".lost h1 + p")) != want {
			t.Errorf("%s: %d %q, want 404 %q", path, w.Code, text(doc.Find(".lost h1 + p")), want)
		}
	}
}

// failing is a store that stops answering.
type failing struct{ web.Reader }

func (failing) Upstreams(context.Context) ([]string, error) {
	return nil, errors.New("read /secret/headwatch.db: disk I/O error")
}

func (failing) OpenJobs(context.Context) ([]orchestrator.Job, error) {
	return nil, context.DeadlineExceeded
}

func TestFailingStore(t *testing.T) {
	var log strings.Builder
	opt := options()
	opt.Log = slog.New(slog.NewTextHandler(&log, nil))
	h := web.Handler(failing{newWorld(t)}, web.Nothing{}, opt)
	w, doc := get(t, h, "/")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(text(doc.Find(".lost")), "took too long") {
		t.Errorf("%d %s", w.Code, text(doc.Find(".lost")))
	}
	w, _ = get(t, h, "/healthz")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"code": "unavailable"`) {
		t.Errorf("health: %d %s", w.Code, w.Body)
	}
	h = web.Handler(broken{newWorld(t)}, web.Nothing{}, opt)
	w, doc = get(t, h, "/")
	if w.Code != http.StatusInternalServerError || !strings.Contains(text(doc.Find(".lost")), "at /") {
		t.Errorf("%d %s", w.Code, text(doc.Find(".lost")))
	}
	if body, _ := io.ReadAll(w.Result().Body); strings.Contains(string(body), "/secret/") || !strings.Contains(log.String(), "/secret/") {
		t.Error("what is not meant for the reader is not in the log, or is on the page")
	}
}

// broken fails where the store's error has a path of the server in it.
type broken struct{ web.Reader }

func (b broken) Upstreams(ctx context.Context) ([]string, error) { return failing{}.Upstreams(ctx) }
