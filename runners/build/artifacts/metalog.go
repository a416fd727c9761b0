package artifacts

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	flagsPattern = regexp.MustCompile(`^[a-z]+(,[a-z]+)*$`)
	ownerPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
)

// node is what a METALOG says of a path.
type node struct {
	kind  string // "file", "dir" or "link"
	mode  int64  // permission bits, set-user-id and sticky bit included
	user  string // as "uname=root" or "uid=0"
	group string
	size  int64  // bytes of a file
	link  string // target of a link
	flags string // as "schg,uarch"; empty: none
	time  int64  // seconds since 1970; not above 0: not known
}

// folder is one that no entry describes.
var folder = node{kind: "dir", mode: 0o755, user: "uname=root", group: "gname=wheel"}

// owner is the name when the archive has a sane one: numbers differ between
// systems, and the tree has its own master.passwd.
func owner(kind, name string, id int) string {
	if ownerPattern.MatchString(name) {
		return kind + "name=" + name
	}
	return fmt.Sprintf("%sid=%d", kind, max(id, 0))
}

// metalog writes nodes as install(1) does with -M (freebsd-src,
// usr.bin/xinstall/xinstall.c, metadata_log), sorted, each path once.
func metalog(nodes map[string]node) []byte {
	var b bytes.Buffer
	b.WriteString("#mtree 2.0\n")
	names := slices.SortedFunc(maps.Keys(nodes), func(a, b string) int {
		return strings.Compare(metalogName(a), metalogName(b)) // folders before what is in them
	})
	for _, name := range names {
		n := nodes[name]
		fmt.Fprintf(&b, "%s type=%s %s %s mode=0%o", vis(metalogName(name)), n.kind, n.user, n.group, n.mode)
		switch n.kind {
		case "link":
			b.WriteString(" link=" + vis(n.link))
		case "file":
			fmt.Fprintf(&b, " size=%d", n.size)
		}
		if n.time > 0 {
			fmt.Fprintf(&b, " time=%d.000000000", n.time)
		}
		if n.flags != "" {
			b.WriteString(" flags=" + n.flags)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func metalogName(name string) string {
	if name == "." {
		return name
	}
	return "./" + name
}

// vis encodes a name as vis(3) does with VIS_OCTAL and mtree's extra characters.
func vis(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`\#*?[=`, c) >= 0 {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
