package watch

import (
	"context"
	"fmt"
	"slices"

	"github.com/headwatch/headwatch/orchestrator"
)

// Since gives the first-parent line from a commit to the head of the branch, both
// included, as the last Fetch left it. Nothing is downloaded.
func (m *Mirror) Since(ctx context.Context, commit string) (orchestrator.Update, error) {
	head, err := m.head(ctx)
	if err != nil {
		return orchestrator.Update{}, err
	}
	for lap := firstLap; ; lap = min(lap*16, maxLine) {
		line, err := m.firstParents(ctx, head, lap)
		if err != nil {
			return orchestrator.Update{}, err
		}
		i := slices.Index(line, commit)
		switch {
		case i > maxNew:
			return orchestrator.Update{}, fmt.Errorf("commit %s is %d commits before the head of %s: want at most %d", commit, i, m.cfg.Upstream, maxNew)
		case i >= 0:
			u := orchestrator.Update{Head: head}
			u.New, err = m.commits(ctx, head, i+1)
			return u, err
		case len(line) < lap || lap == maxLine:
			return orchestrator.Update{}, fmt.Errorf("commit %s %w of %s", commit, orchestrator.ErrNotOnLine, m.cfg.Upstream)
		}
	}
}
