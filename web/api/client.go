package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxBody bounds an answer: the largest overview is well below a tenth of it.
	maxBody        = 32 << 20
	defaultTimeout = 30 * time.Second
)

// Client reads a server's documents. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient makes a client of the server at base, such as
// "http://127.0.0.1:8080". A nil h is a client with a timeout of 30 s.
func NewClient(base string, h *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("server address %q: %w", base, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("server address %q: want http://HOST:PORT or https://HOST", base)
	}
	if h == nil {
		h = &http.Client{Timeout: defaultTimeout}
	}
	return &Client{base: strings.TrimRight(base, "/"), http: h}, nil
}

// Health asks whether the server answers and what it holds.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return get[Health](ctx, c, PathHealth)
}

// Overview reads the first page.
func (c *Client) Overview(ctx context.Context) (Overview, error) {
	return get[Overview](ctx, c, PathOverview)
}

// Run reads one run. IsNotFound tells an unknown id from other errors.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	return get[Run](ctx, c, PathRuns+url.PathEscape(id))
}

// Commit reads a commit with its builds and runs.
func (c *Client) Commit(ctx context.Context, hash string) (Commit, error) {
	return get[Commit](ctx, c, PathCommits+url.PathEscape(hash))
}

// Regressions reads all regressions, open ones first.
func (c *Client) Regressions(ctx context.Context) ([]Regression, error) {
	return get[[]Regression](ctx, c, PathRegressions)
}

// Crashes reads what is known of all crashes, the last seen first, without texts.
func (c *Client) Crashes(ctx context.Context) ([]KnownCrash, error) {
	return get[[]KnownCrash](ctx, c, PathCrashes)
}

// Crash reads what is known of the crashes with a signature.
func (c *Client) Crash(ctx context.Context, signature string) (KnownCrash, error) {
	return get[KnownCrash](ctx, c, PathCrashes+"/"+url.PathEscape(signature))
}

// IsNotFound reports whether the server has no such thing.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusNotFound
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var doc T
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return doc, fmt.Errorf("ask %s%s: %w", c.base, path, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return doc, fmt.Errorf("ask the headwatch server (is `headwatch serve` running there?): %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return doc, fmt.Errorf("read %s%s: %w", c.base, path, err)
	case len(body) > maxBody:
		return doc, fmt.Errorf("read %s%s: the answer is larger than %d MiB", c.base, path, maxBody>>20)
	case resp.StatusCode != http.StatusOK:
		return doc, fmt.Errorf("%s%s: %w", c.base, path, failure(resp, body))
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, fmt.Errorf("%s%s did not answer with a headwatch document: %w", c.base, path, err)
	}
	return doc, nil
}

// failure reads the error body. Something between us and the server may have
// answered instead, with a body of its own: then the status line must do.
func failure(resp *http.Response, body []byte) *Error {
	var f Failure
	if json.Unmarshal(body, &f) != nil || f.Error.Message == "" {
		f.Error = Error{Code: "internal", Message: "answered " + resp.Status}
	}
	f.Error.Status = resp.StatusCode
	return &f.Error
}
