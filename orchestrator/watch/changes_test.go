package watch

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChanges(t *testing.T) {
	u := newUpstream(t)
	first := u.commit("c1")
	u.write("share/doc", "x\ny\n")
	u.write("logo", "\x00\x01")
	second := u.commit("c2")
	u.git("checkout", "-q", "-b", "side", first)
	u.write("vendor/lib", "z\n")
	u.git("add", "-A")
	u.git("commit", "-q", "-m", "vendor")
	u.git("checkout", "-q", "main")
	u.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	merge := u.head()
	u.git("config", "uploadpack.allowFilter", "false")
	full := mirror(t, u.dir, 10)
	fetch(t, full, "")
	u.git("config", "uploadpack.allowFilter", "true")
	for commit, want := range map[string][]Change{
		first:  {{"sys/kern/file.c", 1, 0}},
		second: {{"logo", -1, -1}, {"share/doc", 2, 0}, {"sys/kern/file.c", 1, 1}},
		merge:  {{"vendor/lib", 1, 0}},
	} {
		got, err := Changes(t.Context(), full.cfg.Dir, commit)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	server := u.serve(nil)
	partial := mirror(t, server.url, 10)
	fetch(t, partial, "")
	before := server.count()
	got, err := Changes(t.Context(), partial.cfg.Dir, second)
	want := []Change{{"logo", -1, -1}, {"share/doc", -1, -1}, {"sys/kern/file.c", -1, -1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("without contents: %v (-want +got)\n%s", err, diff)
	}
	if n := blobs(t, partial); n != 0 || server.count() != before {
		t.Errorf("%d contents were downloaded in %d requests", n, server.count()-before)
	}
	for _, bad := range []string{"HEAD", "--all", strings.Repeat("9", 40)} {
		if _, err := Changes(t.Context(), full.cfg.Dir, bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Changes(stopped, full.cfg.Dir, first); err == nil {
		t.Error("went on after it was stopped")
	}
}
