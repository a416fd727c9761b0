package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/headwatch/headwatch/orchestrator"
)

// ErrNoBranch says that the upstream does not have the branch (any more).
var ErrNoBranch = errors.New("no such branch")

// Fetch brings the mirror up to date and says what is new since known. Where
// the mirror stands does not matter to the answer, so a Fetch whose Update was
// lost gives it again.
//
// The line is the branch's first-parent line. When known is not on it, history
// was rewritten: Dropped lists known and its first parents down to where the two
// lines part, New starts there. When the mirror lacks known, or the lines have
// nothing in common, New is the newest Backfill commits. Note says which.
func (m *Mirror) Fetch(ctx context.Context, known string) (orchestrator.Update, error) {
	fail := func(err error) (orchestrator.Update, error) {
		return orchestrator.Update{}, fmt.Errorf("upstream %q: %w", m.cfg.Upstream, err)
	}
	if known != "" && !isHash(known) {
		return fail(fmt.Errorf("known head %q is not a full hash", known))
	}
	select {
	case m.fetch <- struct{}{}:
		defer func() { <-m.fetch }()
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
	head, err := m.pull(ctx)
	if err != nil {
		return fail(err)
	}
	u, err := m.since(ctx, head, known)
	if err != nil {
		return fail(err)
	}
	return u, nil
}

// pull downloads the branch and returns its head. The head of before stays
// reachable, whatever happens to the branch.
func (m *Mirror) pull(ctx context.Context) (string, error) {
	old, err := m.head(ctx)
	if err != nil {
		return "", err
	}
	if old != "" {
		if _, err := m.git.line(ctx, "update-ref", seenPrefix+old, old); err != nil {
			return "", err
		}
	}
	if err := m.download(ctx); err != nil {
		return "", err
	}
	head, err := m.head(ctx)
	if err != nil {
		return "", err
	}
	if head == "" {
		return "", fmt.Errorf("%s holds no commit after a fetch", m.ref())
	}
	if head == old {
		return head, nil
	}
	if old != "" {
		if err := m.forget(ctx, old, head); err != nil {
			return "", err
		}
	}
	// A fetch adds a pack; git decides when there are too many.
	if _, err := m.remote().with("gc.autoDetach=false").line(ctx, "gc", "--auto", "--quiet"); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		m.cfg.Log.Warn("mirror was not tidied up", "upstream", m.cfg.Upstream, "err", err)
	}
	return head, nil
}

// head is the branch's head in the mirror; empty: never fetched.
func (m *Mirror) head(ctx context.Context) (string, error) {
	head, err := m.git.line(ctx, "for-each-ref", "--format=%(objectname)", m.ref())
	if err == nil && head != "" && !isHash(head) {
		err = fmt.Errorf("%s of the mirror is %q, not a hash", m.ref(), head)
	}
	return head, err
}

// forget drops the ref that kept an earlier head when the branch keeps it itself.
func (m *Mirror) forget(ctx context.Context, old, head string) error {
	_, err := m.git.line(ctx, "merge-base", "--is-ancestor", old, head)
	if err == nil {
		_, err = m.git.line(ctx, "update-ref", "-d", seenPrefix+old, old)
		return err
	}
	if isExit(err, 1) {
		return nil // force-pushed away: the ref stays
	}
	return err
}

// remote is git for the commands that talk to the upstream. The configuration
// that makes the mirror a partial one is given to these only.
func (m *Mirror) remote() git {
	g := m.git.with(
		"credential.helper=",
		"core.hooksPath="+os.DevNull,
		"core.fsync=committed,reference",
		"fetch.writeCommitGraph=true", // counting the line's commits is ten times faster
		"protocol.version=2",
		"http.lowSpeedLimit=1000", "http.lowSpeedTime=60", // bytes/s, s: a dead server is not waited for
	)
	if m.filtered() != filterOff {
		g = g.with("remote.origin.promisor=true", "remote.origin.partialclonefilter="+filterBlobs)
	}
	return g
}

func (m *Mirror) filtered() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.filter
}

// setFilter keeps what was learned of the server.
func (m *Mirror) setFilter(ctx context.Context, word string) error {
	if _, err := m.git.line(ctx, "config", filterKey, word); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter = word
	return nil
}

// download fetches the followed branch and no other ref, without contents when
// the server can leave them out.
func (m *Mirror) download(ctx context.Context) error {
	if m.filtered() == "" {
		able, err := m.canFilter(ctx)
		if err != nil {
			return err
		}
		if !able {
			m.cfg.Log.Info("this git cannot keep a partial copy safely: taking a full one", "upstream", m.cfg.Upstream)
			if err := m.setFilter(ctx, filterOff); err != nil {
				return err
			}
		}
	}
	asked := m.filtered()
	stderr, err := m.fetchBranch(ctx, asked != filterOff)
	if asked != filterOff && said(err, "filter '", "filter-spec", "object filter") {
		m.cfg.Log.Info("server refuses a partial copy: taking a full one", "upstream", m.cfg.Upstream, "err", err)
		if err := m.setFilter(ctx, filterOff); err != nil {
			return err
		}
		stderr, err = m.fetchBranch(ctx, false)
	}
	if said(err, "couldn't find remote ref") {
		return fmt.Errorf("branch %q is not (or no more) in %s: %w", m.cfg.Branch, printable(m.cfg.URL), ErrNoBranch)
	}
	if err != nil || m.filtered() != "" {
		return err
	}
	word := filterBlobs
	if strings.Contains(stderr, "filtering not recognized") {
		word = filterOff // everything came
	}
	return m.setFilter(ctx, word)
}

// canFilter says whether git obeys GIT_NO_LAZY_FETCH (2.45, and the older lines
// since May 2024), by having it miss an object that a remote promised.
func (m *Mirror) canFilter(ctx context.Context) (bool, error) {
	const absent = "0123456789012345678901234567890123456789"
	_, err := m.git.with("remote.probe.promisor=true", "remote.probe.url=/dev/null/none").line(ctx, "cat-file", "-e", absent)
	if ctx.Err() != nil {
		return false, err
	}
	return said(err, "lazy fetching disabled"), nil
}

// fetchBranch runs git fetch. A shallow upstream is accepted as it is; a mirror
// that is shallow asks each time for the history that it lacks.
func (m *Mirror) fetchBranch(ctx context.Context, filter bool) (stderr string, err error) {
	args := []string{
		"fetch", "--no-progress", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
		"--recurse-submodules=no", "--refmap=", "--update-shallow",
	}
	if filter {
		args = append(args, "--filter="+filterBlobs)
	}
	if m.shallow() {
		args = append(args, "--unshallow")
	}
	args = append(args, "--end-of-options", "origin", "+"+m.ref()+":"+m.ref())
	return m.remote().run(ctx, nil, nil, args...)
}

// shallow says whether the history ends somewhere because the upstream's does.
func (m *Mirror) shallow() bool {
	info, err := os.Stat(filepath.Join(m.git.dir, "shallow"))
	return err == nil && info.Size() > 0
}
