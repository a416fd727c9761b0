// Package watch follows an upstream. A Mirror is a local bare copy of the
// followed branch's history and implements orchestrator.Source over it: what is
// new on the first-parent line, object ids of paths, exports of trees. A Poller
// asks cheaply whether the branch moved, by git or by GitHub's API; Webhook takes
// GitHub's word for it.
//
// All git is done by the git command. The mirror is a partial one, without file
// contents, when the server offers that; contents are downloaded when a tree is
// exported. Only commands of fetch.go and contents.go know the server as a
// promisor of missing objects, and those only for what they ask themselves: no
// command that misses an object starts a download behind our back.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2"

	"github.com/headwatch/headwatch/orchestrator"
)

var _ orchestrator.Source = (*Mirror)(nil)

// Config says what is followed and where the mirror is.
type Config struct {
	Upstream string // the upstream's name, for commits and messages
	URL      string // any URL or path that git understands; see GitHubURL
	Branch   string
	Backfill int    // commits taken at the first look, at least 1
	Dir      string // the mirror: a folder of its own below the state directory
	Log      *slog.Logger
}

// Mirror is a local bare copy of a branch. It is safe for concurrent use: a
// Fetch waits for the one before it, everything else reads. One process owns
// Dir. Nothing runs between calls, so there is nothing to close.
type Mirror struct {
	cfg   Config
	git   git
	fetch chan struct{} // holds a token while a Fetch is under way

	mu     sync.Mutex
	filter string // what the server does with --filter: one of the filter words
}

// What is known of the server's filters, kept in the mirror's configuration. The
// empty word means that nobody asked yet.
const (
	filterBlobs = "blob:none" // contents come on demand
	filterOff   = "off"       // the mirror is a full one
	filterKey   = "headwatch.filter"
)

const (
	markFile    = "headwatch-mirror"    // says that a folder is ours to remake
	globalFile  = "headwatch.gitconfig" // stands in for the user's configuration
	seenPrefix  = "refs/headwatch/seen/"
	headsPrefix = "refs/heads/"
)

// Open opens the mirror at cfg.Dir, or makes an empty one, which the first Fetch
// fills. It needs no network. What a killed process left behind is removed.
func Open(ctx context.Context, cfg Config) (*Mirror, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	m := &Mirror{cfg: cfg, fetch: make(chan struct{}, 1)}
	m.git = git{dir: cfg.Dir, global: filepath.Join(cfg.Dir, globalFile)}
	if _, err := m.git.line(ctx, "check-ref-format", m.ref()); err != nil {
		if isExit(err, 1) {
			err = fmt.Errorf("%q is not a valid branch name", cfg.Branch)
		}
		return nil, fmt.Errorf("upstream %q: %w", cfg.Upstream, err)
	}
	if err := m.ready(ctx); err != nil {
		return nil, fmt.Errorf("mirror of upstream %q at %s: %w", cfg.Upstream, cfg.Dir, err)
	}
	return m, nil
}

// checked returns cfg with absolute paths, or says what is wrong with it.
func (c Config) checked() (Config, error) {
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("upstream %q: "+format, append([]any{c.Upstream}, args...)...)
	}
	switch {
	case c.Upstream == "":
		return c, errors.New("upstream without a name")
	case c.Branch == "" || strings.HasPrefix(c.Branch, "-"):
		return bad("%q is not a valid branch name", c.Branch)
	case c.URL == "" || strings.HasPrefix(c.URL, "-") || strings.ContainsAny(c.URL, "\x00\r\n"):
		return bad("%q is not a repository's URL or path", c.URL)
	case c.Backfill < 1 || c.Backfill > maxNew:
		return bad("backfill is %d, must be 1 to %d", c.Backfill, maxNew)
	case c.Dir == "" || strings.ContainsAny(c.Dir, "\x00\r\n"):
		return bad("%q is no folder for the mirror", c.Dir)
	case c.Log == nil:
		c.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return bad("%w", err)
	}
	if _, statErr := os.Stat(c.URL); statErr == nil && !strings.Contains(c.URL, "://") {
		if c.URL, err = filepath.Abs(c.URL); err != nil {
			return bad("%w", err)
		}
	}
	return c, nil
}

// ref is the followed branch, upstream and in the mirror.
func (m *Mirror) ref() string { return headsPrefix + m.cfg.Branch }

// ready makes or cleans the mirror and writes its configuration.
func (m *Mirror) ready(ctx context.Context) error {
	fresh := m.cfg.Dir + ".new"
	if err := os.RemoveAll(fresh); err != nil { // a kill may have left it
		return err
	}
	usable, err := m.usable(ctx)
	if err != nil {
		return err
	}
	if usable {
		if err := sweep(m.cfg.Dir); err != nil {
			return err
		}
	} else if err := m.create(ctx, fresh); err != nil {
		return err
	}
	if err := renameio.WriteFile(m.git.global, []byte(safeDirectories(m.cfg.URL)), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"config", "remote.origin.url", m.cfg.URL},
		{"symbolic-ref", "HEAD", m.ref()},
	} {
		if _, err := m.git.line(ctx, args...); err != nil {
			return err
		}
	}
	if m.filter, err = m.git.line(ctx, "config", "--default=", "--get", filterKey); err != nil {
		return err
	}
	return m.retire(ctx)
}

// usable says whether Dir holds a mirror. A folder that was ours and that git
// cannot read is removed; one that never was is an error.
func (m *Mirror) usable(ctx context.Context) (bool, error) {
	entries, err := os.ReadDir(m.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(entries) == 0 {
		return false, os.Remove(m.cfg.Dir)
	}
	if _, err := os.Stat(filepath.Join(m.cfg.Dir, markFile)); err != nil {
		return false, errors.New("the folder holds something that is not a mirror of ours: empty it or choose another")
	}
	bare, err := m.git.line(ctx, "rev-parse", "--is-bare-repository")
	if err == nil && bare == "true" {
		return true, nil
	}
	if err != nil && !said(err, "not a git repository", "bad config") {
		return false, err // git's fault, or time is up: no reason to throw a history away
	}
	m.cfg.Log.Warn("mirror is damaged and is made again", "upstream", m.cfg.Upstream, "dir", m.cfg.Dir, "err", err)
	return false, os.RemoveAll(m.cfg.Dir)
}

// create makes an empty mirror in the folder fresh and renames it into place, so
// that Dir is a whole mirror or none.
func (m *Mirror) create(ctx context.Context, fresh string) error {
	if err := os.MkdirAll(filepath.Dir(fresh), 0o755); err != nil {
		return err
	}
	g := git{dir: fresh, global: os.DevNull}
	if _, err := g.line(ctx, "init", "--quiet", "--bare", "--template=", fresh); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(fresh, markFile), []byte("1\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, m.cfg.Dir)
}

// retire takes branches that are followed no more out of refs/heads and keeps
// their commits.
func (m *Mirror) retire(ctx context.Context) error {
	out, err := m.git.output(ctx, 1<<20, "for-each-ref", "--format=%(objectname) %(refname)", headsPrefix)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		hash, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		if ref == m.ref() {
			continue
		}
		if _, err := m.git.line(ctx, "update-ref", seenPrefix+hash, hash); err != nil {
			return err
		}
		if _, err := m.git.line(ctx, "update-ref", "-d", ref, hash); err != nil {
			return err
		}
	}
	return nil
}
