package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
)

func fetch(t *testing.T, m *Mirror, known string) orchestrator.Update {
	t.Helper()
	u, err := m.Fetch(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// subjects checks that New is a line with its positions, and names it.
func subjects(t *testing.T, u orchestrator.Update) string {
	t.Helper()
	var names []string
	for i, c := range u.New {
		names = append(names, c.Subject)
		if i > 0 && (c.Position != u.New[i-1].Position+1 || c.Parent != u.New[i-1].Hash) {
			t.Errorf("commit %s is at %d with parent %s; before it came %+v", c.Hash, c.Position, c.Parent, u.New[i-1])
		}
	}
	if n := len(u.New); n > 0 && u.New[n-1].Hash != u.Head {
		t.Errorf("the newest commit is %s, the head %s", u.New[n-1].Hash, u.Head)
	}
	return strings.Join(names, " ")
}

func TestFetchFollows(t *testing.T) {
	u := newUpstream(t)
	c := u.commits("c", 5)
	u.git("branch", "other")
	u.git("tag", "v1")
	urls := map[string]string{"path": u.dir, "file": "file://" + u.dir, "http": u.serve(nil).url}
	mirrors := map[string]*Mirror{}
	for name, url := range urls {
		m := mirror(t, url, 2)
		mirrors[name] = m
		got := fetch(t, m, "")
		want := orchestrator.Commit{Upstream: "demo", Hash: c[4], Parent: c[3], Position: 5, Author: "Ann", Email: "ann@example.org", Subject: "c5"}
		if len(got.New) != 2 || got.Head != c[4] || got.Note != "" {
			t.Fatalf("%s: first look: %+v", name, got)
		}
		want.Time = got.New[1].Time
		if diff := cmp.Diff(want, got.New[1]); diff != "" || want.Time.Unix() != 1700000000 {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if n := blobs(t, m); n != 0 {
			t.Errorf("%s: the mirror holds %d contents, wanted none", name, n)
		}
		refs, err := m.git.output(t.Context(), 4<<10, "for-each-ref", "--format=%(refname)")
		if err != nil || string(refs) != "refs/heads/main\n" {
			t.Errorf("%s: refs are %q, %v", name, refs, err)
		}
	}
	next := u.commits("d", 3)
	for name, m := range mirrors {
		if got := fetch(t, m, c[4]); subjects(t, got) != "d1 d2 d3" || got.New[0].Position != 6 {
			t.Errorf("%s: %+v", name, got)
		}
		if got := fetch(t, m, next[2]); len(got.New)+len(got.Dropped) != 0 || got.Head != next[2] || got.Note != "" {
			t.Errorf("%s: nothing is new: %+v", name, got)
		}
		// An update that was lost is given again.
		if got := fetch(t, m, c[4]); subjects(t, got) != "d1 d2 d3" {
			t.Errorf("%s: again: %+v", name, got)
		}
	}
}

func TestFullMirrorWhereFiltersAreNotServed(t *testing.T) {
	for name, config := range map[string][]string{
		"ignored": {"uploadpack.allowFilter", "false"},
		"refused": {"uploadpackfilter.allow", "false"},
	} {
		u := newUpstream(t)
		u.git(append([]string{"config"}, config...)...)
		c := u.commits("c", 2)
		for _, url := range []string{u.dir, u.serve(nil).url} {
			m := mirror(t, url, 1)
			fetch(t, m, "")
			if n := blobs(t, m); n != 2 || m.filtered() != filterOff {
				t.Errorf("%s: the mirror holds %d contents, filter %q", name, n, m.filtered())
			}
			if m = reopen(t, m.cfg); m.filtered() != filterOff {
				t.Errorf("%s: forgotten: %q", name, m.filtered())
			}
			if err := m.Export(t.Context(), c[0], nil, t.TempDir()); err != nil {
				t.Error(name, err)
			}
		}
	}
}

func TestRewrittenHistory(t *testing.T) {
	for _, c := range []struct {
		name    string
		rewrite func(u *upstream)
		new     string
		dropped string // of c1 … c5, in the order of Update.Dropped
		note    string
	}{
		{"amended", func(u *upstream) { u.git("commit", "-q", "--amend", "-m", "x1") }, "x1", "c5", "1 commits"},
		{"reset to an ancestor", func(u *upstream) { u.git("reset", "-q", "--hard", "HEAD~2") }, "", "c5 c4", "2 commits"},
		{"other line from c2", func(u *upstream) { u.git("reset", "-q", "--hard", "HEAD~3"); u.commits("x", 3) }, "x1 x2 x3", "c5 c4 c3", "3 commits"},
		{"nothing in common", func(u *upstream) {
			u.git("checkout", "-q", "--orphan", "new")
			u.commits("x", 3)
			u.git("branch", "-M", "new", "main")
		}, "x2 x3", "c5 c4 c3 c2 c1", "nothing in common"},
		{"merged the wrong way round", func(u *upstream) {
			u.git("checkout", "-q", "-b", "side", "HEAD~3")
			u.write("side.c", "side")
			u.git("add", "-A")
			u.git("commit", "-q", "-m", "s1")
			u.git("merge", "-q", "--no-ff", "-m", "foxtrot", "main")
			u.git("branch", "-M", "side", "main")
		}, "s1 foxtrot", "c5 c4 c3", "3 commits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			hashes := u.commits("c", 5)
			m := mirror(t, "file://"+u.dir, 2)
			fetch(t, m, "")
			c.rewrite(u)
			u.git("reflog", "expire", "--expire=now", "--all")
			u.git("gc", "-q", "--prune=now")
			for range 2 { // the second time, everything is in the mirror already
				got := fetch(t, m, hashes[4])
				var dropped []string
				for _, h := range got.Dropped {
					dropped = append(dropped, "c"+string(rune('1'+slices.Index(hashes, h))))
				}
				if s := subjects(t, got); s != c.new || strings.Join(dropped, " ") != c.dropped || !strings.Contains(got.Note, c.note) {
					t.Errorf("new %q dropped %q note %q", s, dropped, got.Note)
				}
				if got.Head != u.head() {
					t.Errorf("head is %s, wanted %s", got.Head, u.head())
				}
			}
			// What was pushed away outlives every tidying up.
			if _, err := m.git.line(t.Context(), "-c", "gc.pruneExpire=now", "rev-parse", hashes[4]); err != nil {
				t.Fatal(err)
			}
			if _, err := m.remote().line(t.Context(), "gc", "--quiet", "--prune=now"); err != nil {
				t.Fatal(err)
			}
			if _, err := m.TreeIDs(t.Context(), hashes, []string{"sys"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMergesAreOneStep(t *testing.T) {
	u := newUpstream(t)
	base := u.commit("base")
	u.git("checkout", "-q", "-b", "topic")
	for _, s := range []string{"t1", "t2"} {
		u.write("topic.c", s)
		u.git("add", "-A")
		u.git("commit", "-q", "-m", s)
	}
	u.git("checkout", "-q", "main")
	u.commit("m1")
	u.git("merge", "-q", "--no-ff", "-m", "merge topic", "topic")
	u.commit("m2")
	m := mirror(t, u.serve(nil).url, 10)
	got := fetch(t, m, "")
	if s := subjects(t, got); s != "base m1 merge topic m2" || got.New[3].Position != 4 || got.New[0].Parent != "" {
		t.Errorf("first look: %q %+v", s, got.New)
	}
	if got := fetch(t, m, base); subjects(t, got) != "m1 merge topic m2" || len(got.Dropped) != 0 {
		t.Errorf("since base: %+v", got)
	}
	// The store's head can be a commit that was merged: it is not on the line.
	topic := u.git("rev-parse", "topic")
	if got := fetch(t, m, topic); subjects(t, got) != "m1 merge topic m2" || len(got.Dropped) != 2 {
		t.Errorf("since a merged commit: %+v", got)
	}
}

func TestMissingHistory(t *testing.T) {
	u := newUpstream(t)
	c := u.commits("c", 6)
	shallow := &upstream{t, filepath.Join(t.TempDir(), "shallow")}
	u.git("clone", "-q", "--depth=3", "file://"+u.dir, shallow.dir)

	t.Run("shallow upstream", func(t *testing.T) {
		m := mirror(t, "file://"+shallow.dir, 10)
		got := fetch(t, m, "")
		if s := subjects(t, got); s != "c4 c5 c6" || got.New[0].Position != 1 || !strings.Contains(got.Note, "incomplete") {
			t.Errorf("first look: %q %+v", s, got)
		}
		u.commit("c7")
		shallow.git("pull", "-q", "--depth=2")
		got = fetch(t, m, c[5])
		if s := subjects(t, got); s != "c7" {
			t.Errorf("next: %q %+v", s, got)
		}
		shallow.git("fetch", "-q", "--unshallow")
		got = fetch(t, m, "")
		if s := subjects(t, got); s != "c1 c2 c3 c4 c5 c6 c7" || got.Note != "" {
			t.Errorf("after the upstream has it all: %q %+v", s, got)
		}
	})
	t.Run("known is gone", func(t *testing.T) {
		m := mirror(t, "file://"+u.dir, 2)
		got := fetch(t, m, strings.Repeat("ab", 20))
		if s := subjects(t, got); s != "c6 c7" || !strings.Contains(got.Note, "not in the mirror") || len(got.Dropped) != 0 {
			t.Errorf("%q %+v", s, got)
		}
	})
	t.Run("known is no hash", func(t *testing.T) {
		m := mirror(t, u.dir, 2)
		if _, err := m.Fetch(t.Context(), "--all"); err == nil || !strings.Contains(err.Error(), "not a full hash") {
			t.Error(err)
		}
	})
}

func TestBranchVanishes(t *testing.T) {
	u := newUpstream(t)
	c := u.commits("c", 2)
	m := mirror(t, u.serve(nil).url, 1)
	fetch(t, m, "")
	u.git("branch", "-m", "main", "trunk")
	for _, m := range []*Mirror{m, mirror(t, u.dir, 1)} {
		_, err := m.Fetch(t.Context(), c[1])
		if !errors.Is(err, ErrNoBranch) || !strings.Contains(err.Error(), `upstream "demo"`) || !strings.Contains(err.Error(), `"main"`) {
			t.Error(err)
		}
	}
	if hash, err := m.Resolve(t.Context(), "main"); err != nil || hash != c[1] {
		t.Errorf("the mirror lost the branch too: %q %v", hash, err)
	}
	cfg := m.cfg
	cfg.URL = filepath.Join(t.TempDir(), "nothing")
	if _, err := reopen(t, cfg).Fetch(t.Context(), c[1]); err == nil || !strings.Contains(err.Error(), "does not appear to be a git repository") {
		t.Error(err)
	}
	// The branch's new name is followed; the old one's commits stay.
	cfg.URL, cfg.Branch = u.dir, "trunk"
	u.commit("c3")
	m = reopen(t, cfg)
	if got := fetch(t, m, c[1]); subjects(t, got) != "c3" {
		t.Errorf("%+v", got)
	}
	if _, err := m.Resolve(t.Context(), "main"); err == nil {
		t.Error("the old branch still resolves")
	}
}

func TestFetchesTakeTurns(t *testing.T) {
	u := newUpstream(t)
	u.commits("c", 3)
	m := mirror(t, u.serve(nil).url, 3)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			got, err := m.Fetch(t.Context(), "")
			if err != nil || len(got.New) != 3 {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	group.Wait()
	m.fetch <- struct{}{} // as if one were under way
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Fetch(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestUpstreamOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	u := newUpstream(t)
	c := u.commits("c", 2)
	err := filepath.WalkDir(u.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 12345, 12345))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{u.dir, "file://" + u.dir, u.dir + "/.git"} {
		if got := fetch(t, mirror(t, url, 1), ""); got.Head != c[1] {
			t.Errorf("%s: %+v", url, got)
		}
	}
}
