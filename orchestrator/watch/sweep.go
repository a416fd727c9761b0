package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sweep removes what a killed git leaves in a repository: locks, that would stop
// every later command, and half-received packs and objects. Only the owner of
// the mirror may call it, while no git of ours runs.
func sweep(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a git that is just ending took it away itself
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || !leftover(filepath.ToSlash(rel)) {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// leftover says whether a file of a repository, named relative to it, is one
// that a git process would have removed at its end.
func leftover(rel string) bool {
	name := rel[strings.LastIndexByte(rel, '/')+1:]
	if strings.HasPrefix(rel, "objects/") {
		// tmp_pack_*, tmp_idx_*, tmp_rev_*, tmp_obj_*, commit-graphs/*.lock, .tmp-<pid>-pack-*
		return strings.HasPrefix(name, "tmp_") || strings.HasPrefix(name, ".tmp-") || strings.HasSuffix(name, ".lock")
	}
	// A branch cannot be called x.lock, so nothing of value ends so. gc.pid names
	// a process that is gone; gc.log would stop git gc --auto for a day.
	return strings.HasSuffix(name, ".lock") || rel == "gc.pid" || rel == "gc.log"
}

// safeDirectories is the git configuration under which a local upstream that
// belongs to another user can be read: git refuses it otherwise, and this answer
// to the refusal is looked for in the user's configuration only, which we
// replace. It names the one upstream that was asked for.
func safeDirectories(url string) string {
	path := strings.TrimPrefix(url, "file://")
	if !filepath.IsAbs(path) {
		return ""
	}
	path = filepath.Clean(path)
	paths := []string{path, filepath.Join(path, ".git")}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		paths = append(paths, real, filepath.Join(real, ".git"))
	}
	var b strings.Builder
	b.WriteString("[safe]\n")
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, p := range paths {
		fmt.Fprintf(&b, "\tdirectory = \"%s\"\n", quote.Replace(p))
	}
	return b.String()
}

// isExit says whether err is of a command that ended with the exit code.
func isExit(err error, code int) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	return ok && exit.ExitCode() == code
}
