package freebsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// defaultLLVM are the folders of clang and lld: Debian's and its children's,
// Fedora's and openSUSE's, FreeBSD's ports, and what is installed plainly.
var defaultLLVM = []string{"/usr/lib/llvm-*/bin", "/usr/lib64/llvm*/bin", "/usr/local/llvm*/bin", "/usr/bin"}

// compiler is a folder with clang, clang++, clang-cpp and ld.lld of one version.
type compiler struct {
	Dir     string
	Version string // such as 14.0.6
	Major   int
	Full    string // first line of clang --version: it becomes part of the kernel
}

// compilerTools are the names that the tree's build looks for.
var compilerTools = []string{"clang", "clang++", "clang-cpp", "ld.lld"}

// askTimeout bounds a tool's answer to --version.
const askTimeout = 20 * time.Second

var (
	clangVersion = regexp.MustCompile(`clang version ((\d+)\.[0-9.]+)`)
	lldVersion   = regexp.MustCompile(`LLD (\d+)\.`)
)

// findCompilers lists the usable compilers in the folders that the patterns
// match, by version; of two with the same version the first folder's counts. It
// is an error when there is none.
func findCompilers(ctx context.Context, patterns []string) ([]compiler, error) {
	var found []compiler
	halves := ""
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("folder of compilers %q: %w", pattern, err)
		}
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Join(dir, "clang")); err != nil {
				continue
			}
			c, err := askCompiler(ctx, dir)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				halves = fmt.Sprintf(" (%v)", err)
			} else if !slices.ContainsFunc(found, func(o compiler) bool { return o.Full == c.Full }) {
				found = append(found, c)
			}
		}
	}
	if len(found) == 0 {
		return nil, &runners.InfraError{
			Op:   "compiler for FreeBSD",
			Err:  fmt.Errorf("no clang with its lld in %s%s", strings.Join(patterns, ", "), halves),
			Hint: "install the Debian packages clang and lld (of one version, such as clang-14 and lld-14)",
		}
	}
	slices.SortStableFunc(found, func(a, b compiler) int { return a.Major - b.Major })
	return found, nil
}

// askCompiler asks the tools of a folder for their versions.
func askCompiler(ctx context.Context, dir string) (compiler, error) {
	for _, name := range compilerTools {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return compiler{}, fmt.Errorf("%s has clang, but no %s", dir, name)
		}
	}
	said, err := ask(ctx, filepath.Join(dir, "clang"))
	if err != nil {
		return compiler{}, err
	}
	v := clangVersion.FindStringSubmatch(said)
	if v == nil {
		return compiler{}, fmt.Errorf("%s/clang --version said %.80q", dir, said)
	}
	major, err := strconv.Atoi(v[2])
	if err != nil {
		return compiler{}, err
	}
	linker, err := ask(ctx, filepath.Join(dir, "ld.lld"))
	if err != nil {
		return compiler{}, err
	}
	if l := lldVersion.FindStringSubmatch(linker); l == nil || l[1] != v[2] {
		return compiler{}, fmt.Errorf("%s has clang %s, but its ld.lld --version said %.80q", dir, v[1], linker)
	}
	full, _, _ := strings.Cut(said, "\n")
	return compiler{Dir: dir, Version: v[1], Major: major, Full: full}, nil
}

func ask(ctx context.Context, tool string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, "--version")
	cmd.Env = []string{"LC_ALL=C", "PATH=" + toolPath}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", tool, err)
	}
	return string(out), nil
}

// chooseCompiler picks the newest compiler that is not newer than the tree's
// own, for newer ones warn of what the tree does not know yet; if all are newer,
// the oldest. compilers are sorted by version and not empty.
func chooseCompiler(compilers []compiler, tree Tree) compiler {
	best := compilers[0]
	for _, c := range compilers[1:] {
		if tree.Clang == 0 || c.Major <= tree.Clang {
			best = c
		}
	}
	return best
}

// requirement is something of the host that a build needs, and the Debian
// package that brings it.
type requirement struct{ what, pkg string }

// hostRequirements are looked for before a build on Linux: the tree's bootstrap
// of its own tools says less clearly what it lacks.
var hostRequirements = []requirement{
	{"/usr/bin/python3", "python3"},
	{"/usr/bin/cc", "build-essential"},
	{"/usr/bin/c++", "build-essential"},
	{"/usr/bin/cpp", "build-essential"},
	{"/usr/bin/strip", "binutils"},
	{"/usr/include/stdio.h", "libc6-dev"},
	{"/usr/include/archive.h", "libarchive-dev"},
	{"/usr/include/bzlib.h", "libbz2-dev"},
}

// CheckHost says with which compilers this host builds FreeBSD, or what it lacks.
func CheckHost(ctx context.Context) (string, error) {
	if runtime.GOOS == "linux" {
		if err := checkHost(hostRequirements, exists); err != nil {
			return "", err
		}
	}
	found, err := findCompilers(ctx, defaultLLVM)
	if err != nil {
		return "", err
	}
	var versions []string
	for _, c := range found {
		versions = append(versions, c.Version)
	}
	return "clang " + strings.Join(versions, ", "), nil
}

// checkHost says which packages the host lacks.
func checkHost(needs []requirement, exists func(string) bool) error {
	var missing, packages []string
	for _, n := range needs {
		if exists(n.what) {
			continue
		}
		missing = append(missing, n.what)
		if !slices.Contains(packages, n.pkg) {
			packages = append(packages, n.pkg)
		}
	}
	if missing == nil {
		return nil
	}
	return &runners.InfraError{
		Op:   "build FreeBSD on this host",
		Err:  errors.New("missing " + strings.Join(missing, ", ")),
		Hint: "install the Debian packages " + strings.Join(packages, " "),
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
