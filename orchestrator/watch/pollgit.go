package watch

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// lsTimeout bounds one git ls-remote.
const lsTimeout = time.Minute

// NewGitPoller polls the mirror's upstream by git ls-remote, which costs a
// connection and downloads one line.
func NewGitPoller(m *Mirror, p Pace) (*Poller, error) {
	return newPoller(m.cfg.Upstream, p, func(ctx context.Context, _ time.Time) (answer, error) {
		head, err := m.remoteHead(ctx)
		return answer{head: head}, err
	})
}

func (m *Mirror) remoteHead(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lsTimeout, fmt.Errorf("%s did not answer within %s", printable(m.cfg.URL), lsTimeout))
	defer cancel()
	out, err := m.remote().output(ctx, 64<<10, "ls-remote", "--quiet", "--end-of-options", "origin", m.ref())
	if err != nil {
		return "", err
	}
	// A pattern matches the end of other refs too: refs/x/refs/heads/main.
	for line := range strings.Lines(string(out)) {
		hash, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if ref == m.ref() && isHash(hash) {
			return hash, nil
		}
	}
	return "", fmt.Errorf("branch %q is not (or no more) in %s: %w", m.cfg.Branch, printable(m.cfg.URL), ErrNoBranch)
}
