package artifacts

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Names of what is published for a commit.
const (
	Kernel    = "kernel.txz"
	KernelDbg = "kernel-dbg.txz"
	Base      = "base.txz"
	Tests     = "tests.txz"
	TestImage = "disk-test.img.zst"
)

// Links of a branch, for Fetcher.Latest.
const (
	LatestBuilt  = "latest"
	LatestTestVM = "latest_testvm" // the newest with a test image
	LatestTested = "latest_tested"
)

// Place says where a commit's artifacts are.
type Place struct {
	Base   string // root of the server, as https://artifact.ci.freebsd.org
	Branch string // of git, as main or stable/14
	Commit string // 40 hex digits
	Arch   string // "amd64" or "arm64"
}

var (
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
	branchPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
)

// platforms are FreeBSD's TARGET/TARGET_ARCH of an architecture.
var platforms = map[string]string{"amd64": "amd64/amd64", "arm64": "arm64/aarch64"}

// check refuses what would name something else on the server, or nothing.
func (p Place) check() error {
	if err := checkURL(p.Base); err != nil {
		return fmt.Errorf("base %q: %w", p.Base, err)
	}
	switch {
	case !branchPattern.MatchString(p.folder()):
		return fmt.Errorf("branch %q: want a name such as main or stable/14", p.Branch)
	case platforms[p.Arch] == "":
		return fmt.Errorf("architecture %q: want amd64 or arm64", p.Arch)
	}
	return nil
}

// folder is the branch as the server spells it.
func (p Place) folder() string { return strings.ReplaceAll(p.Branch, "/", "-") }

// branchURL ends in a slash.
func (p Place) branchURL() string {
	return strings.TrimRight(p.Base, "/") + "/snapshot/" + p.folder() + "/"
}

// URL is where the named artifact of the commit is.
func (p Place) URL(name string) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	if !commitPattern.MatchString(p.Commit) {
		return "", fmt.Errorf("commit %q: want 40 hex digits", p.Commit)
	}
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("artifact %q: want a file's name such as %s", name, Kernel)
	}
	return p.fileURL(p.Commit, name), nil
}

// fileURL is for a commit or a link.
func (p Place) fileURL(commit, name string) string {
	return p.branchURL() + commit + "/" + platforms[p.Arch] + "/" + name
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("want a URL such as https://host/folder")
	}
	return nil
}

// beside is the URL of another file in the same folder.
func beside(u, name string) string { return u[:strings.LastIndexByte(u, '/')+1] + name }
