package watch

import (
	"errors"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
)

func TestSince(t *testing.T) {
	u := newUpstream(t)
	first := u.commit("c1")
	second := u.commit("c2")
	u.git("checkout", "-q", "-b", "side", first)
	u.write("vendor/lib", "z\n")
	u.git("add", "-A")
	u.git("commit", "-q", "-m", "vendor")
	side := u.git("rev-parse", "HEAD")
	u.git("checkout", "-q", "main")
	u.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	m := mirror(t, u.dir, 1)
	fetch(t, m, "")
	got, err := m.Since(t.Context(), first)
	if err != nil || len(got.New) != 3 || got.New[0].Hash != first || got.New[0].Position != 1 || got.New[1].Hash != second || got.Head != u.head() {
		t.Errorf("%+v, %v, want three commits from the first on", got, err)
	}
	if _, err := m.Since(t.Context(), side); !errors.Is(err, orchestrator.ErrNotOnLine) {
		t.Errorf("a commit that came with a merge: %v", err)
	}
}
