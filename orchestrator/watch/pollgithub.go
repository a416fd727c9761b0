package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
)

const (
	apiTimeout = 30 * time.Second
	maxAnswer  = 1 << 20 // bytes of an answer that are read
)

// GitHub says which branch is asked for at GitHub's API.
type GitHub struct {
	Upstream   string // the upstream's name, for messages
	Repository string // "owner/name"
	Branch     string
	Token      string // optional; unauthenticated, GitHub answers 60 questions an hour
	API        string // base URL; empty: https://api.github.com/
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$`)

// GitHubURL is the URL by which git reads a repository "owner/name" of GitHub.
func GitHubURL(repository string) (string, error) {
	if !repositoryName.MatchString(repository) || strings.HasSuffix(repository, "/.") || strings.HasSuffix(repository, "/..") {
		return "", fmt.Errorf("%q is not a GitHub repository: write owner/name", repository)
	}
	return "https://github.com/" + strings.TrimSuffix(repository, ".git") + ".git", nil
}

// NewGitHubPoller polls a branch at GitHub's API. A question after an unchanged
// branch carries the last answer's ETag; the answer 304 costs nothing of the rate
// limit when a token is given.
// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
func NewGitHubPoller(c GitHub, p Pace) (*Poller, error) {
	if _, err := GitHubURL(c.Repository); err != nil {
		return nil, fmt.Errorf("upstream %q: %w", c.Upstream, err)
	}
	if c.Branch == "" {
		return nil, fmt.Errorf("upstream %q: no branch to follow", c.Upstream)
	}
	if c.API == "" {
		c.API = "https://api.github.com/"
	}
	base, err := url.Parse(strings.TrimSuffix(c.API, "/") + "/")
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" {
		return nil, fmt.Errorf("upstream %q: %q is not the base URL of an API", c.Upstream, c.API)
	}
	if c.Token != "" && base.Scheme == "http" && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("upstream %q: the token would go to %s unencrypted: use https", c.Upstream, base.Host)
	}
	g := &githubBranch{GitHub: c, base: base, http: apiClient()}
	return newPoller(c.Upstream, p, g.look)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// githubBranch remembers the last answer. One question at a time is asked.
type githubBranch struct {
	GitHub
	base *url.URL
	http *http.Client
	etag string
	head string // that came with etag
}

func (g *githubBranch) look(ctx context.Context, now time.Time) (answer, error) {
	// Not http.Client's Timeout: go-github leaves the bodies of errors open, and
	// that timer would run on.
	ctx, cancel := context.WithTimeoutCause(ctx, apiTimeout, fmt.Errorf("no answer within %s", apiTimeout))
	defer cancel()
	// A new client each time: it would keep rate limits by the real clock.
	client := github.NewClient(g.http)
	if g.Token != "" {
		client = client.WithAuthToken(g.Token)
	}
	client.BaseURL = g.base
	parts := strings.Split(g.Branch, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	req, err := client.NewRequest(http.MethodGet, "repos/"+g.Repository+"/git/ref/heads/"+strings.Join(parts, "/"), nil)
	if err != nil {
		return answer{}, err
	}
	if g.etag != "" {
		req.Header.Set("If-None-Match", g.etag)
	}
	var ref github.Reference
	resp, err := client.Do(ctx, req, &ref)
	if resp == nil {
		return answer{}, fmt.Errorf("ask GitHub: %w", err)
	}
	a := answer{hold: holdUntil(resp.StatusCode, resp.Header, isSecondary(err), now)}
	if resp.StatusCode == http.StatusNotModified && g.head != "" {
		a.head = g.head
		return a, nil
	}
	if err != nil {
		return a, g.explain(resp.StatusCode, a.hold, err)
	}
	if ref.GetRef() != headsPrefix+g.Branch || !isHash(ref.GetObject().GetSHA()) {
		return a, fmt.Errorf("GitHub answered with ref %.200q at %.100q, asked for branch %q of %s", ref.GetRef(), ref.GetObject().GetSHA(), g.Branch, g.Repository)
	}
	g.head, g.etag = ref.GetObject().GetSHA(), resp.Header.Get("ETag")
	a.head = g.head
	return a, nil
}

func isSecondary(err error) bool {
	_, ok := errors.AsType[*github.AbuseRateLimitError](err)
	return ok
}

// explain says what an answer means and what to do about it.
func (g *githubBranch) explain(status int, hold time.Time, err error) error {
	if e, ok := errors.AsType[*github.ErrorResponse](err); ok {
		err = fmt.Errorf("GitHub said %d %s", status, printable(fmt.Sprintf("%.300s", cmp.Or(e.Message, http.StatusText(status)))))
	}
	switch {
	case !hold.IsZero():
		return fmt.Errorf("GitHub wants no question before %s: %w", hold.UTC().Format(time.RFC3339), err)
	case status == http.StatusNotFound:
		return fmt.Errorf("GitHub has no branch %q in repository %q (a private one needs a token that may read it): %w", g.Branch, g.Repository, ErrNoBranch)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("GitHub does not accept the token: give another: %w", err)
	case status == http.StatusForbidden:
		return fmt.Errorf("the token may not read repository %q: %w", g.Repository, err)
	case status == http.StatusConflict:
		return fmt.Errorf("repository %q is empty: %w", g.Repository, err)
	}
	return fmt.Errorf("ask GitHub for branch %q of %q: %w", g.Branch, g.Repository, err)
}

// apiClient reads answers of bounded size, leaves the host of a question for no
// redirect (the token would go along), and keeps no connection between polls.
func apiClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return &http.Client{
		Transport: boundedAnswers{t},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= 5 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
				return fmt.Errorf("redirected to %s", req.URL.Redacted())
			}
			return nil
		},
	}
}

type boundedAnswers struct{ http.RoundTripper }

func (b boundedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}
