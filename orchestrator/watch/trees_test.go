package watch

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestTreeIDs(t *testing.T) {
	u := newUpstream(t)
	c1 := u.commit("c1")
	u.write("share/doc", "x")
	u.write("Makefile", "all:\n")
	c2 := u.commit("c2")
	u.git("rm", "-q", "-r", "share")
	u.write("share", "a file now")
	c3 := u.commit("c3")
	server := u.serve(nil)
	m := mirror(t, server.url, 3)
	fetch(t, m, "")
	before := server.count()
	paths := []string{".", "sys", "sys/kern/", "sys/kern/file.c", "share/doc", "Makefile", "none"}
	got, err := m.TreeIDs(t.Context(), []string{c1, c2, c3}, paths)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{}
	for _, c := range []string{c1, c2, c3} {
		want[c] = map[string]string{}
		for _, p := range paths {
			out, err := u.cmd("rev-parse", "--verify", "--quiet", c+":"+strings.Trim(p, "./")).Output()
			if p == "sys/kern/file.c" {
				out, err = u.cmd("rev-parse", c+":"+p).Output()
			}
			if err == nil {
				want[c][p] = strings.TrimSpace(string(out))
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(want[c2]) != 6 || len(want[c3]) != 5 || want[c1]["sys"] == want[c2]["sys"] {
		t.Errorf("the test is not about what it should be: %v", want)
	}
	if n := blobs(t, m); n != 0 || server.count() != before {
		t.Errorf("%d contents in the mirror, %d requests", n, server.count()-before)
	}
	if got, err := m.TreeIDs(t.Context(), nil, paths); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	gone := strings.Repeat("9", 40)
	if _, err := m.TreeIDs(t.Context(), []string{c1, gone}, paths); err == nil || !strings.Contains(err.Error(), "commit "+gone+" is not in the mirror") {
		t.Error(err)
	}
	for _, bad := range [][2]string{{"HEAD", "sys"}, {c1 + "\n" + c2, "sys"}, {c1, ".."}, {c1, "/sys"}} {
		if _, err := m.TreeIDs(t.Context(), []string{bad[0]}, []string{bad[1]}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestResolve(t *testing.T) {
	u := newUpstream(t)
	c := u.commits("c", 5)
	u.git("branch", "other")
	m := mirror(t, u.serve(nil).url, 1)
	fetch(t, m, "")
	for rev, want := range map[string]string{
		c[1]: c[1], c[2][:10]: c[2], "main": c[4], "HEAD": c[4], "HEAD~3": c[1], "main^": c[3], "refs/heads/main": c[4],
		strings.ToUpper(c[0]): c[0],
	} {
		if got, err := m.Resolve(t.Context(), rev); err != nil || got != want {
			t.Errorf("%s: %s %v, wanted %s", rev, got, err, want)
		}
	}
	for rev, want := range map[string]string{
		"other":                  `unknown revision "other" in upstream "demo"`,
		"x":                      `unknown revision "x" in upstream "demo"`,
		strings.Repeat("9", 40):  "unknown revision",
		"HEAD~9":                 "unknown revision",
		"HEAD:sys":               "unknown revision",
		"HEAD ~1":                "unknown revision",
		"--all":                  "is not a revision",
		"":                       "is not a revision",
		"HEAD\nHEAD":             "is not a revision",
		strings.Repeat("a", 300): "is not a revision",
	} {
		if got, err := m.Resolve(t.Context(), rev); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s %v, wanted %q", rev, got, err, want)
		}
	}
}

func TestResolveAmbiguous(t *testing.T) {
	u := newUpstream(t)
	// 600 commits of one empty tree: two of them share their first four digits.
	var b strings.Builder
	for i := range 600 {
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter C <c@x> 1700000000 +0000\ndata 4\n%03d\n\n", i)
	}
	u.pipe(b.String(), "fast-import", "--quiet", "--force")
	m := mirror(t, u.dir, 600)
	got := fetch(t, m, "")
	seen := map[string]bool{}
	for _, c := range got.New {
		short := c.Hash[:4]
		if !seen[short] {
			seen[short] = true
			continue
		}
		if _, err := m.Resolve(t.Context(), short); err == nil || !strings.Contains(err.Error(), "is ambiguous in upstream \"demo\": give more digits") {
			t.Error(err)
		}
		return
	}
	t.Fatal("no two commits share four digits")
}

func TestOddCommits(t *testing.T) {
	u := newUpstream(t)
	c1 := u.commit("c1")
	tree := u.git("rev-parse", "HEAD^{tree}")
	parent := c1
	for _, c := range []string{
		"author A\xffB\x1b[31m <\xe9@x> 1700000000 +0000\ncommitter C <c@x> 1700000001 +0000\n\nsubject \xff\x07 one\ntwo\n\nbody\n",
		"author L\xe9on <l@x> 1 +0000\ncommitter C <c@x> 1700000002 +0000\nencoding ISO-8859-1\n\ncaf\xe9\n",
		"author " + strings.Repeat("ü", 5000) + " <l@x> 1 +0000\ncommitter C <c@x> 99999999999999 +0000\n\n" + strings.Repeat("é", 1<<20) + "\n",
		"author A <> 1 +0000\ncommitter C <c@x> nonsense\n\n",
		"author A <a@x> 1 +0000\ncommitter C <c@x> 1700000004 +0000\n\nbefore\x00after\n",
	} {
		parent = u.pipe("tree "+tree+"\nparent "+parent+"\n"+c, "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
	}
	u.git("update-ref", "refs/heads/main", parent)
	m := mirror(t, u.dir, 9)
	got := fetch(t, m, "")
	if len(got.New) != 6 || got.New[5].Hash != parent {
		t.Fatalf("%+v", got)
	}
	for _, c := range got.New {
		for _, s := range []string{c.Author, c.Email, c.Subject} {
			if !utf8.ValidString(s) || len(s) > maxSubject || strings.ContainsAny(s, "\x00\x07\x1b\n") {
				t.Errorf("%q", s)
			}
		}
		if year := c.Time.Year(); year < 1970 || year > 9999 {
			t.Error(c.Time)
		}
	}
	if c := got.New[1]; c.Author != "A\uFFFDB [31m" || c.Email != "\uFFFD@x" || c.Subject != "subject \uFFFD  one two" {
		t.Errorf("%+v", c)
	}
	if c := got.New[2]; c.Author != "Léon" || c.Subject != "café" {
		t.Errorf("%+v", c)
	}
	if c := got.New[3]; len(c.Author) < 190 || !strings.HasSuffix(c.Subject, "é…") || len(c.Subject) < maxSubject-3 {
		t.Errorf("%d %d %q", len(c.Author), len(c.Subject), c.Subject)
	}
	if c := got.New[4]; c.Subject != "" || !c.Time.Equal(time.Unix(0, 0)) {
		t.Errorf("%+v", c)
	}
	if c := got.New[5]; c.Subject != "before" || c.Position != 6 {
		t.Errorf("%+v", c)
	}
}

func TestLogReader(t *testing.T) {
	h := strings.Repeat("a", 40)
	good := h + "\x00" + h + " " + h + "\x0012\x00n\x00e\x00s"
	for name, c := range map[string]struct {
		in   string
		want int // -1: an error
	}{
		"nothing": {"", 0}, "one": {good, 1}, "two": {good + "\x00" + good, 2},
		"root without subject": {h + "\x00\x0012\x00n\x00e\x00", 1},
		"cut":                  {good[:60], -1}, "no hash": {"x" + good, -1}, "odd parent": {h + "\x00zz\x001\x00\x00\x00", -1},
	} {
		for _, step := range []int{1, 7, 1 << 10} { // however the pipe cuts it
			r := logReader{position: 9}
			var err error
			for in := []byte(c.in); len(in) > 0 && err == nil; in = in[min(step, len(in)):] {
				_, err = r.Write(in[:min(step, len(in))])
			}
			got, endErr := r.End()
			if failed := err != nil || endErr != nil; failed != (c.want < 0) || (!failed && len(got) != c.want) {
				t.Errorf("%s by %d: %+v %v %v", name, step, got, err, endErr)
			}
			if len(got) == 2 && (got[1].Position != 8 || got[0].Parent != h) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 a\x0012345678901234567890"), 20)
	f.Fuzz(func(t *testing.T, raw []byte, width int) {
		if width != 20 && width != 32 {
			return
		}
		entries, err := parseTree(raw, width)
		if err != nil {
			return
		}
		n := 0
		for _, e := range entries {
			if !isHash(e.id) || bytes.ContainsRune([]byte(e.name), 0) {
				t.Errorf("%+v", e)
			}
			n += len(e.name) + width
		}
		if n > len(raw) {
			t.Errorf("%d entries out of %d bytes", len(entries), len(raw))
		}
	})
}
