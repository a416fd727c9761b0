package watch

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
)

// TreeIDs gives the object id of each path in each commit's tree; "." is the
// whole tree. A path that a commit lacks is absent from its map. A commit that
// the mirror lacks is an error.
//
// One git process reads tree objects and nothing else, so a partial mirror
// downloads nothing: git cat-file --batch-check would fetch the file behind
// commit:path only to say that it is there.
func (m *Mirror) TreeIDs(ctx context.Context, commits []string, paths []string) (map[string]map[string]string, error) {
	fail := func(err error) error { return fmt.Errorf("upstream %q: %w", m.cfg.Upstream, err) }
	clean, err := cleanPaths(paths)
	if err != nil {
		return nil, fail(err)
	}
	ids := make(map[string]map[string]string, len(commits))
	err = m.read(ctx, func(o *objects) error {
		for _, c := range commits {
			root, err := o.root(c)
			if err != nil {
				return err
			}
			ids[c] = make(map[string]string, len(paths))
			for i, p := range clean {
				e, found, err := o.find(root, p)
				if err != nil {
					return fmt.Errorf("path %q of commit %s: %w", p, c, err)
				}
				if found {
					ids[c][paths[i]] = e.id
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fail(err)
	}
	return ids, nil
}

// root returns the id of a commit's tree.
func (o *objects) root(commit string) (string, error) {
	if !isHash(commit) {
		return "", fmt.Errorf("%.100q is not a commit's full hash", commit)
	}
	_, id, err := o.tree(commit + "^{tree}")
	if errors.Is(err, errMissing) {
		return "", fmt.Errorf("commit %s is not in the mirror", commit)
	}
	return id, err
}

// cleanPaths returns each path without dots and doubled slashes. A path that
// leaves the tree is an error.
func cleanPaths(paths []string) ([]string, error) {
	clean := make([]string, len(paths))
	for i, p := range paths {
		clean[i] = path.Clean(p)
		if p == "" || path.IsAbs(p) || clean[i] == ".." || strings.HasPrefix(clean[i], "../") || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("%q is not a path inside a tree", p)
		}
	}
	return clean, nil
}
