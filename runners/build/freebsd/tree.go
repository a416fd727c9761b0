package freebsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"

	"github.com/headwatch/headwatch/runners"
)

// Tree says what a source tree is.
type Tree struct {
	Release  string // such as 14.0-CURRENT
	Revision string // such as 14.0
	Branch   string // such as CURRENT
	Version  int    // __FreeBSD_version
	Clang    int    // major version of the tree's own compiler; 0: it has none
}

var (
	shellType     = regexp.MustCompile(`(?m)^TYPE="([^"\n]*)"`)
	shellRevision = regexp.MustCompile(`(?m)^REVISION="([0-9.]+)"`)
	shellBranch   = regexp.MustCompile(`(?m)^BRANCH="([A-Za-z0-9.-]+)"`)
	paramVersion  = regexp.MustCompile(`(?m)^#define\s+__FreeBSD_version\s+(\d+)`)
	clangMajor    = regexp.MustCompile(`(?m)^#define\s+CLANG_VERSION_MAJOR\s+(\d+)`)
)

// clangVersionFile of the tree says which clang it brings, and so which one it
// compiles with without warnings.
const clangVersionFile = "lib/clang/include/clang/Basic/Version.inc"

// ReadTree says what the tree at dir is, or what is wrong with it: no tree,
// another project's, one that this host cannot build.
func ReadTree(dir string) (Tree, error) {
	return readTree(dir, runtime.GOOS)
}

func readTree(dir, host string) (Tree, error) {
	var t Tree
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return t, treeError(dir, errors.New("no folder there"))
	}
	text, err := os.ReadFile(filepath.Join(dir, "sys/conf/newvers.sh"))
	if errors.Is(err, fs.ErrNotExist) {
		return t, treeError(dir, errors.New("no FreeBSD source tree: it has no sys/conf/newvers.sh"))
	}
	if err != nil {
		return t, treeError(dir, err)
	}
	if kind := first(shellType, text); kind != "FreeBSD" {
		return t, treeError(dir, fmt.Errorf("tree of another project: sys/conf/newvers.sh says TYPE=%q, expected \"FreeBSD\"", kind))
	}
	t.Revision, t.Branch = first(shellRevision, text), first(shellBranch, text)
	if t.Revision == "" || t.Branch == "" {
		return t, treeError(dir, errors.New("sys/conf/newvers.sh has no line REVISION=\"…\" or BRANCH=\"…\""))
	}
	t.Release = t.Revision + "-" + t.Branch
	if t.Version, err = number(dir, "sys/sys/param.h", paramVersion); err != nil {
		return t, treeError(dir, err)
	}
	if t.Clang, err = number(dir, clangVersionFile, clangMajor); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t, treeError(dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tools/build/make.py")); err != nil && host != "freebsd" {
		return t, treeError(dir, fmt.Errorf("FreeBSD %s has no tools/build/make.py: only 13.0 and later build on another system", t.Release))
	}
	return t, nil
}

func treeError(dir string, err error) error {
	return &runners.InfraError{Op: "source tree " + dir, Err: err, Hint: "give a FreeBSD source tree, 13.0 or later"}
}

func first(re *regexp.Regexp, text []byte) string {
	if m := re.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

func number(dir, name string, re *regexp.Regexp) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(first(re, text))
	if err != nil {
		return 0, fmt.Errorf("%s: no line like %q", name, re)
	}
	return n, nil
}

// noVersionControl refuses a cache folder inside a work tree: newvers.sh walks up
// from the source and would write the state of that repository into the kernel.
func noVersionControl(dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		for _, name := range []string{".git", ".gituprevision", ".hg"} {
			if _, err := os.Lstat(filepath.Join(at, name)); err == nil {
				return &runners.InfraError{
					Op:   "cache folder " + dir,
					Err:  fmt.Errorf("is inside the work tree of %s: its state would become part of every kernel", filepath.Join(at, name)),
					Hint: "give another --state",
				}
			}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
