package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// hub stands in for GitHub's API as its documentation describes it: one branch,
// ETags, a rate limit that a 304 does not count against, and errors on demand.
type hub struct {
	t     *testing.T
	clock *clock
	head  string
	left  int                         // requests until the limit
	reset time.Time                   // of the limit
	fail  func(w http.ResponseWriter) // answers instead, when set
	asked int
	token string // of the last request
	full  int    // answers that cost of the limit
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.asked++
	h.token = r.Header.Get("Authorization")
	if h.clock.now.After(h.reset) {
		h.left, h.reset = 60, h.clock.now.Add(time.Hour).Truncate(time.Second)
	}
	// GitHub's clock is three hours ahead of ours.
	ahead := 3 * time.Hour
	w.Header().Set("Date", h.clock.now.Add(ahead).UTC().Format(http.TimeFormat))
	limits := func() {
		w.Header().Set("X-RateLimit-Limit", "60")
		w.Header().Set("X-RateLimit-Remaining", fmt.Sprint(h.left))
		w.Header().Set("X-RateLimit-Reset", fmt.Sprint(h.reset.Add(ahead).Unix()))
	}
	etag := `W/"` + h.head + `"`
	switch {
	case h.fail != nil:
		limits()
		h.fail(w)
	case r.URL.EscapedPath() != "/api/repos/freebsd/freebsd-src/git/ref/heads/stable/14%23":
		limits()
		jsonError(w, http.StatusNotFound, "Not Found", "https://docs.github.com/rest")
	case h.left == 0:
		limits()
		jsonError(w, http.StatusForbidden, "API rate limit exceeded", "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api")
	case r.Header.Get("If-None-Match") == etag:
		limits()
		w.WriteHeader(http.StatusNotModified)
	default:
		h.left--
		h.full++
		limits()
		w.Header().Set("ETag", etag)
		fmt.Fprintf(w, `{"ref":"refs/heads/stable/14#","object":{"type":"commit","sha":%q}}`, h.head)
	}
}

func jsonError(w http.ResponseWriter, status int, message, docs string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message, "documentation_url": docs})
}

func newHub(t *testing.T) (*hub, *Poller) {
	h := &hub{t: t, clock: newClock(), head: strings.Repeat("1a", 20)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p, err := NewGitHubPoller(GitHub{
		Upstream: "demo", Repository: "freebsd/freebsd-src", Branch: "stable/14#", Token: "sesame", API: server.URL + "/api",
	}, h.clock.pace())
	if err != nil {
		t.Fatal(err)
	}
	return h, p
}

func TestGitHubPoller(t *testing.T) {
	h, p := newHub(t)
	expect(t, p, h.head, true, "", 5*time.Minute)
	p.Saw(h.head)
	for range 3 {
		h.clock.pass(p)
		expect(t, p, h.head, false, "", 5*time.Minute)
	}
	if h.full != 1 || h.asked != 4 || h.token != "Bearer sesame" {
		t.Errorf("%d questions cost %d, the token was %q", h.asked, h.full, h.token)
	}
	h.head = strings.Repeat("2b", 20)
	h.clock.pass(p)
	expect(t, p, h.head, true, "", 5*time.Minute)
	h.clock.pass(p)
	expect(t, p, h.head, true, "", 5*time.Minute) // 304, and still not taken care of
	p.Saw(h.head)
	expect(t, p, h.head, false, "", 5*time.Minute)
}

func TestGitHubRateLimit(t *testing.T) {
	h, p := newHub(t)
	expect(t, p, h.head, true, "", 5*time.Minute)
	h.left, h.head = 1, strings.Repeat("2b", 20)
	left := h.reset.Sub(h.clock.now) + time.Second
	expect(t, p, h.head, true, "", left) // the last question that was free
	asked := h.asked
	expect(t, p, "", false, "wants no question before", left)
	if h.asked != asked {
		t.Error("it was asked nevertheless")
	}
	h.clock.pass(p)
	expect(t, p, h.head, true, "", 5*time.Minute)
	// Somebody else used the limit up.
	h.left, h.head = 0, strings.Repeat("3c", 20)
	left = h.reset.Sub(h.clock.now) + time.Second
	expect(t, p, "", false, "wants no question before", left)
	h.clock.pass(p)
	expect(t, p, h.head, true, "", 5*time.Minute)
}

func TestGitHubErrors(t *testing.T) {
	docs := "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"
	abuse := "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#abuse-rate-limits"
	plain := "https://docs.github.com/rest"
	header := func(key, value string, then func(http.ResponseWriter)) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.Header().Set(key, value); then(w) }
	}
	answer := func(status int, message, docs string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { jsonError(w, status, message, docs) }
	}
	for name, c := range map[string]struct {
		fail    func(http.ResponseWriter)
		problem string
		next    time.Duration
	}{
		"secondary, told when":    {header("Retry-After", "1200", answer(403, "You have exceeded a secondary rate limit", docs)), "wants no question before", 20 * time.Minute},
		"secondary, soon":         {header("Retry-After", "30", answer(403, "slow down", docs)), "wants no question before", 5 * time.Minute},
		"secondary, 429":          {header("Retry-After", "600", answer(429, "Too Many", plain)), "wants no question before", 10 * time.Minute},
		"secondary, for years":    {header("Retry-After", "999999999", answer(429, "Too Many", plain)), "wants no question before", 2 * time.Hour},
		"secondary, not told":     {answer(403, "You have triggered an abuse detection mechanism", abuse), "wants no question before", 5 * time.Minute},
		"server broke":            {answer(502, "Bad \x1b[31mGateway", plain), "502 Bad  [31mGateway", 5 * time.Minute},
		"server down, told when":  {header("Retry-After", "900", answer(503, "Down", plain)), "wants no question before", 15 * time.Minute},
		"no branch or repository": {answer(404, "Not Found", plain), `no branch "stable/14#" in repository "freebsd/freebsd-src"`, 5 * time.Minute},
		"wrong token":             {answer(401, "Bad credentials", plain), "does not accept the token", 5 * time.Minute},
		"not allowed":             {answer(403, "Resource not accessible", plain), "may not read repository", 5 * time.Minute},
		"empty repository":        {answer(409, "Git Repository is empty.", plain), "is empty", 5 * time.Minute},
		"broke, without words":    {func(w http.ResponseWriter) { w.WriteHeader(500) }, "said 500 Internal Server Error", 5 * time.Minute},
		"no JSON":                 {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, "ask GitHub", 5 * time.Minute},
		"several refs":            {func(w http.ResponseWriter) { fmt.Fprint(w, `[{"ref":"refs/heads/stable/14#x"}]`) }, "ask GitHub", 5 * time.Minute},
		"another ref":             {func(w http.ResponseWriter) { fmt.Fprint(w, `{"ref":"refs/heads/x","object":{"sha":"1"}}`) }, "answered with ref", 5 * time.Minute},
		"without end":             {func(w http.ResponseWriter) { fmt.Fprint(w, `{"ref":"`, strings.Repeat("x", 2*maxAnswer)) }, "ask GitHub", 5 * time.Minute},
		"304 to nothing":          {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotModified) }, "304", 5 * time.Minute},
		"elsewhere":               {header("Location", "http://127.0.0.1:1/", func(w http.ResponseWriter) { w.WriteHeader(302) }), "redirected", 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			h, p := newHub(t)
			h.fail = c.fail
			expect(t, p, "", false, c.problem, c.next)
			if strings.Contains(name, "branch") {
				if _, _, err := p.Changed(t.Context()); !errors.Is(err, ErrNoBranch) {
					t.Error(err)
				}
			}
			h.fail = nil
			h.clock.now = h.clock.now.Add(3 * time.Hour)
			expect(t, p, h.head, true, "", 5*time.Minute)
		})
	}
	t.Run("backs off", func(t *testing.T) {
		h, p := newHub(t)
		h.fail = answer(500, "", plain)
		for _, want := range []time.Duration{5, 10, 20, 40, 60, 60} {
			expect(t, p, "", false, "500", want*time.Minute)
			h.clock.pass(p)
		}
	})
}

func TestNewGitHubPollerRefuses(t *testing.T) {
	good := GitHub{Upstream: "demo", Repository: "a/b", Branch: "main"}
	for want, change := range map[string]func(*GitHub){
		`"a" is not a GitHub repository`: func(g *GitHub) { g.Repository = "a" },
		`"a/.." is not a GitHub`:         func(g *GitHub) { g.Repository = "a/.." },
		`"a/b/../../x" is not a`:         func(g *GitHub) { g.Repository = "a/b/../../x" },
		"no branch":                      func(g *GitHub) { g.Branch = "" },
		"not the base URL":               func(g *GitHub) { g.API = "api.example.org" },
		"unencrypted":                    func(g *GitHub) { g.API, g.Token = "http://api.example.org", "x" },
	} {
		g := good
		change(&g)
		if _, err := NewGitHubPoller(g, newClock().pace()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
	if url, err := GitHubURL("freebsd/freebsd-src"); err != nil || url != "https://github.com/freebsd/freebsd-src.git" {
		t.Error(url, err)
	}
}
