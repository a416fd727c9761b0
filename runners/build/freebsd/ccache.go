package freebsd

import "path/filepath"

// ccachePlaces are where Debian and FreeBSD's ports put ccache(1).
var ccachePlaces = []string{"/usr/bin/ccache", "/usr/local/bin/ccache"}

// ccache remembers what compilers made of which files. Its key is what the compiler
// read the last time, so it does not see a new header that comes first in the path:
// clean builds, which confirm what others decided, go without it.
type ccache struct {
	bin string // empty: there is none
	dir string
}

func findCCache(dir string, exists func(string) bool) ccache {
	abs, err := filepath.Abs(dir) // compilers run in folders of their own
	if dir == "" || err != nil {
		return ccache{}
	}
	for _, bin := range ccachePlaces {
		if exists(bin) {
			return ccache{bin, abs}
		}
	}
	return ccache{}
}

// env tells the tree's make of it, by bsd.compiler.mk's variables. Paths below folder
// count as relative ones, so that folders of objects can share.
func (c ccache) env(folder string) []string {
	if c.bin == "" {
		return nil
	}
	return []string{
		"WITH_CCACHE_BUILD=yes",
		"CCACHE_BIN=" + c.bin,
		"CCACHE_DIR=" + c.dir,
		"CCACHE_BASEDIR=" + folder,
		"CCACHE_COMPILERCHECK=content",
		// The headers are those that the compiler lists for make(1): without this every
		// file would be preprocessed first, a sixth of a build that finds nothing.
		"CCACHE_DEPEND=true",
		"CCACHE_MAXSIZE=5G",
	}
}
