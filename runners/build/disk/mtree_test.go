package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSpecification(t *testing.T) {
	got := string(specification([]entry{
		folder("/"),
		{File: File{Path: "/a file", Mode: fs.ModeSetuid | 0o755, UID: 2, GID: 3}},
		{File: File{Path: "/link", Mode: fs.ModeSymlink | 0o777, Link: "a#b"}},
		{File: File{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}},
	}))
	want := `#mtree
. type=dir uid=0 gid=0 mode=0755 time=1577836800.000000000
./a\040file type=file uid=2 gid=3 mode=4755 time=1577836800.000000000
./link type=link uid=0 gid=0 mode=0777 time=1577836800.000000000 link=a\043b
./tmp type=dir uid=0 gid=0 mode=1777 time=1577836800.000000000
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNamesSurviveTheirEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		coded := encodeName(name)
		if strings.ContainsAny(coded, " #\n\t*?[=") {
			t.Fatalf("%q is not one word", coded)
		}
		if got, err := decodeName(coded); err != nil || got != name {
			t.Fatalf("%q, %v: want %q", got, err, name)
		}
		bits := rapid.Uint32Range(0, 0o7777).Draw(t, "mode")
		if got := permissions(fileMode(bits)); got != bits {
			t.Fatalf("mode %o became %o", bits, got)
		}
	})
	for _, bad := range []string{`\`, `\12`, `\400`, `\08x`} {
		if _, err := decodeName(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// installed makes a root folder as installworld with -DNO_ROOT leaves it.
func installed(t *testing.T, metalog string, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["METALOG"] = metalog
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, "METALOG")
}

func TestReadMetalog(t *testing.T) {
	name := installed(t, `#mtree 2.0
. type=dir uname=root gname=wheel mode=0755
./bin type=dir uname=root gname=wheel mode=0755 tags=package=runtime
./bin/at type=file uname=root gname=operator mode=4554 size=3 flags=schg tags=package=at

./bin/a\040b type=link uname=nobody gid=77 mode=0755 link=at
./x type=file uid=12 gname=wheel mode=644
`, map[string]string{
		"etc/master.passwd": "# users\nroot:*:0:0::0:0:Charlie:/root:/bin/sh\nnobody:*:65534:65534::0:0:x:/:/x\n",
		"etc/group":         "wheel:*:0:root\noperator:*:5:root\nbroken\n",
	})
	got, err := readMetalog(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(name)
	want := []entry{
		{File: File{Path: "/", Mode: fs.ModeDir | 0o755}},
		{File: File{Path: "/bin", Mode: fs.ModeDir | 0o755}},
		{File: File{Path: "/bin/at", Mode: fs.ModeSetuid | 0o554, GID: 5}, host: filepath.Join(root, "bin/at")},
		{File: File{Path: "/bin/a b", Mode: fs.ModeSymlink | 0o755, Link: "at", UID: 65534, GID: 77}},
		{File: File{Path: "/x", Mode: 0o644, UID: 12}, host: filepath.Join(root, "x")},
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries: %+v", len(got), got)
	}
	for i := range want {
		if g, w := got[i], want[i]; g.host != w.host || g.Path != w.Path || g.Mode != w.Mode || g.Link != w.Link || g.UID != w.UID || g.GID != w.GID {
			t.Errorf("got  %+v\nwant %+v", g, w)
		}
	}
}

func TestBadMetalogs(t *testing.T) {
	for line, want := range map[string]string{
		"./x type=file uname=root gname=wheel":                           `METALOG:2: mode="": want octal digits`,
		"./x type=file uname=root gname=wheel mode=0888":                 `mode="0888"`,
		"./x type=fifo uname=root gname=wheel mode=0644":                 `type="fifo": want file, dir or link`,
		"./x type=file uname=toor gname=wheel mode=0644":                 `uname="toor": not in the tree's etc/master.passwd`,
		"./x type=file uname=root gname=games mode=0644":                 `gname="games": not in the tree's`,
		"./x type=file uid=-1 gname=wheel mode=0644":                     `uname=""`,
		"/x type=file uname=root gname=wheel mode=0644":                  `want a path that starts with ./`,
		"/set type=file uname=root gname=wheel mode=0644":                `want a path that starts with ./`,
		`./x\9 type=file uname=root gname=wheel mode=0644`:               `want \ and three octal digits`,
		"./x type=link uname=root gname=wheel mode=0777":                 "want a symbolic link's target",
		`./x type=link uname=root gname=wheel mode=0777 link=a\000`:      "holds a zero byte",
		"./" + strings.Repeat("x", 256) + " type=dir uid=0 gid=0 mode=0": "a name of 256 bytes: at most 255",
		"./" + strings.Repeat("x", maxMetalogLine):                       "METALOG:2: bufio.Scanner: token too long",
		"#nothing": "was the tree installed with -DNO_ROOT?",
	} {
		_, err := readMetalog(t.Context(), installed(t, "#mtree\n"+line+"\n", map[string]string{}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v: want %q", line, err, want)
		}
	}
	if _, err := readMetalog(t.Context(), filepath.Join(t.TempDir(), "METALOG")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readMetalog(ctx, installed(t, ". type=dir uid=0 gid=0 mode=0755\n", map[string]string{})); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzMetalogLine(f *testing.F) {
	f.Add("./bin/at type=file uname=root gname=wheel mode=4554 size=3")
	f.Add(`./a\040b type=link uid=1 gid=2 mode=777 link=\057x`)
	f.Add("./../../etc type=dir uid=0 gid=0 mode=0")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.TrimSpace(line) == "" {
			return
		}
		e, err := parseMetalog(line, ids{})
		if err != nil {
			return
		}
		if err := e.check(); err != nil {
			t.Errorf("accepted: %v", err)
		}
		if strings.HasPrefix(e.Path, "/..") && e.Path[3:4] == "/" {
			t.Errorf("%q leaves the root", e.Path)
		}
	})
}
