package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSameSeedSameHistory(t *testing.T) {
	ctx := t.Context()
	a, err := Open(ctx, filepath.Join(t.TempDir(), "a"), 7)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(ctx, filepath.Join(t.TempDir(), "b"), 7)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(ctx, filepath.Join(t.TempDir(), "c"), 8)
	if err != nil {
		t.Fatal(err)
	}
	if a.Len() != Commits || a.Hash(Commits-1) != b.Hash(Commits-1) {
		t.Errorf("seed 7 gave %d commits ending in %s and %s", a.Len(), a.Hash(a.Len()-1), b.Hash(b.Len()-1))
	}
	if a.Hash(Commits-1) == c.Hash(Commits-1) {
		t.Error("two seeds gave one history")
	}
	again, err := Open(ctx, a.Dir, 0)
	if err != nil || again.Seed != 7 || again.Hash(3) != a.Hash(3) {
		t.Errorf("opened again: %+v, %v", again, err)
	}
	if _, err := Open(ctx, a.Dir, 9); err == nil || !strings.Contains(err.Error(), "seed 7") {
		t.Errorf("another seed over the same folder: %v", err)
	}
}

func TestOneFaultAmongHarmlessCommits(t *testing.T) {
	for seed := uint64(1); seed < 300; seed++ {
		culprit, _ := Answer(seed)
		if culprit < firstCulprit || culprit > lastCulprit {
			t.Fatalf("seed %d: culprit %d", seed, culprit)
		}
		guest := 0
		for i, s := range plan(seed) {
			if strings.HasPrefix(s.path, "guest/") {
				guest++
			}
			if (s.line == fault.line) != (i == culprit) {
				t.Fatalf("seed %d: commit %d carries %q", seed, i, s.line)
			}
		}
		if guest != changes {
			t.Fatalf("seed %d: %d commits change the guest, want %d", seed, guest, changes)
		}
	}
}

func TestPublish(t *testing.T) {
	ctx := t.Context()
	u, err := Open(ctx, filepath.Join(t.TempDir(), "u"), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 10, 25, Commits} {
		if n > 0 {
			if err := u.Publish(ctx, n); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := u.Published(ctx); err != nil || got != n {
			t.Errorf("published %d, %v; want %d", got, err, n)
		}
	}
}

func TestHalfMadeUpstreamIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "u")
	if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none"), 0); err == nil {
		t.Error("opening nothing without a seed must say so")
	}
}
