package watch

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// maxChangesText bounds what is read of a commit's list of paths, in bytes.
const maxChangesText = 4 << 20

// Change is one path that a commit touches, against its first parent.
type Change struct {
	Path           string
	Added, Deleted int // lines; -1: not a text, or its content is not in the mirror
}

// Changes lists what a commit touches, by path. It only reads the mirror in dir, also
// beside its owner, and downloads nothing: where a partial mirror lacks contents, no
// lines are counted.
func Changes(ctx context.Context, dir, commit string) ([]Change, error) {
	fail := func(err error) ([]Change, error) { return nil, fmt.Errorf("changes of commit %s: %w", commit, err) }
	if !isHash(commit) {
		return nil, fmt.Errorf("%.100q is not a commit's full hash", commit)
	}
	g := git{dir: dir, global: filepath.Join(dir, globalFile)}
	parents, err := g.line(ctx, "rev-list", "--parents", "--max-count=1", commit, "--")
	if err != nil {
		return fail(err)
	}
	between := []string{"--root", commit}
	if all := strings.Fields(parents); len(all) > 1 {
		between = []string{all[1], commit}
	}
	list := func(form string) ([]byte, error) {
		return g.output(ctx, maxChangesText, append([]string{"diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", form}, between...)...)
	}
	out, err := list("--numstat")
	if err == nil {
		return numbered(out)
	}
	if ctx.Err() != nil {
		return fail(err)
	}
	names, nameErr := list("--name-only")
	if nameErr != nil {
		return fail(nameErr)
	}
	var all []Change
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names, []byte{0}), []byte{0}) {
		if len(name) > 0 {
			all = append(all, Change{string(name), -1, -1})
		}
	}
	return all, nil
}

// numbered reads git's --numstat -z: added, deleted and path with tabs between.
func numbered(out []byte) ([]Change, error) {
	var all []Change
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		if len(entry) == 0 {
			continue
		}
		part := strings.SplitN(string(entry), "\t", 3)
		if len(part) != 3 {
			return nil, fmt.Errorf("git counts lines as %.100q", entry)
		}
		all = append(all, Change{part[2], lineCount(part[0]), lineCount(part[1])})
	}
	return all, nil
}

// lineCount reads a number of lines; git writes "-" for what is no text.
func lineCount(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
