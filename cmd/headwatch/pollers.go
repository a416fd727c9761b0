package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/watch"
)

// pollers makes one poller per upstream: GitHub's API where it is GitHub, plain
// git elsewhere.
func (r *rigging) pollers(ctx context.Context, upstreams []string) (map[string]orchestrator.Poller, error) {
	out := map[string]orchestrator.Poller{}
	for _, name := range upstreams {
		p, err := r.poller(ctx, r.file.Upstreams[name])
		if err != nil {
			return nil, err
		}
		out[name] = p
	}
	return out, nil
}

func (r *rigging) poller(ctx context.Context, u pipeline.Upstream) (*watch.Poller, error) {
	pace := watch.Pace{Interval: u.Poll}
	if u.GitHub != "" {
		// Without a token GitHub answers 60 questions an hour, which is enough for
		// one upstream at the default pace.
		return watch.NewGitHubPoller(watch.GitHub{Upstream: u.Name, Repository: u.GitHub, Branch: u.Branch, Token: os.Getenv("GITHUB_TOKEN")}, pace)
	}
	m, err := r.mirrors.mirror(ctx, u.Name)
	if err != nil {
		return nil, err
	}
	return watch.NewGitPoller(m, pace)
}

// hook takes GitHub's word for it that a branch has moved, and looks at once.
type hook struct {
	rig       *rigging
	upstreams []string
	secret    []byte
	pushed    chan string
}

func newHook(r *rigging, upstreams []string, secret []byte) *hook {
	return &hook{rig: r, upstreams: upstreams, secret: secret, pushed: make(chan string, 16)}
}

// routes is empty without a secret: there is nothing to verify a push with.
func (h *hook) routes() []route {
	if len(h.secret) == 0 {
		return nil
	}
	return []route{{"/webhook", http.MaxBytesHandler(watch.Webhook(h.secret, h.push), 4<<20)}}
}

// push asks for a look at the upstreams that a push is about. A full queue loses
// it: the poller will see it.
func (h *hook) push(repo, branch, _ string) {
	for _, name := range h.upstreams {
		if u := h.rig.file.Upstreams[name]; u.GitHub == repo && u.Branch == branch {
			select {
			case h.pushed <- name:
			default:
			}
		}
	}
}

// listen looks until ctx is done; the channel is closed when it has ended.
func (h *hook) listen(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case name := <-h.pushed:
				if _, err := h.rig.conductor.Look(ctx, name); err != nil && ctx.Err() == nil {
					h.rig.log.Warn("a pushed branch could not be fetched, polling goes on", "upstream", name, "err", err)
				}
			}
		}
	}()
	return done
}

// readSecret reads the webhook's secret; no path, no secret.
func readSecret(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("webhook secret: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) < 16 {
		return nil, usagef("webhook secret %s: %s", path, fmt.Sprintf("%d bytes are too few, give at least 16", len(text)))
	}
	return text, nil
}
