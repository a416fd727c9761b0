package watch

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

const maxObjects = 4 << 20 // objects of one tree, below which a listing is read

// complete downloads the contents below the given entries that a partial mirror
// lacks, all in one go: git left to itself would fetch them file by file.
func (m *Mirror) complete(ctx context.Context, entries []treeEntry) error {
	if m.filtered() == filterOff {
		return nil
	}
	missing, err := m.missing(ctx, entries)
	if err != nil || len(missing) == 0 {
		return err
	}
	m.cfg.Log.Info("downloading contents", "upstream", m.cfg.Upstream, "files", len(missing))
	// The arguments are those with which git itself fetches missing objects: the
	// server is not told what we have, for that says nothing about contents.
	_, err = m.remote().with("fetch.negotiationAlgorithm=noop").run(ctx, strings.NewReader(strings.Join(missing, "\n")+"\n"), nil,
		"fetch", "--no-progress", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
		"--recurse-submodules=no", "--refmap=", "--filter="+filterBlobs, "--stdin", "origin")
	if err != nil {
		return fmt.Errorf("%d files are not in the mirror and %s did not give them: %w", len(missing), printable(m.cfg.URL), err)
	}
	return nil
}

// missing lists the ids of the contents at and below entries that the mirror
// lacks.
func (m *Mirror) missing(ctx context.Context, entries []treeEntry) ([]string, error) {
	var trees, blobs strings.Builder
	for _, e := range entries {
		switch e.mode & modeMask {
		case modeTree:
			fmt.Fprintln(&trees, e.id)
		case modeSub:
		default:
			fmt.Fprintln(&blobs, e.id)
		}
	}
	var ids []string
	// rev-list goes on at a missing object below a tree, not at one that it was
	// given; cat-file tells of those.
	err := m.lines(ctx, blobs.String(), func(line string) {
		if id, gone := strings.CutSuffix(line, " missing"); gone {
			ids = append(ids, id)
		}
	}, "cat-file", "--batch-check=%(objectname)")
	if err != nil {
		return nil, err
	}
	err = m.lines(ctx, trees.String(), func(line string) {
		if id, gone := strings.CutPrefix(line, "?"); gone {
			ids = append(ids, id)
		}
	}, "rev-list", "--objects", "--missing=print", "--no-object-names", "--stdin")
	return ids, err
}

// lines runs a git command over stdin and hands each line that it prints to use.
// It does nothing when stdin is empty.
func (m *Mirror) lines(ctx context.Context, stdin string, use func(string), args ...string) error {
	if stdin == "" {
		return nil
	}
	out := &capped{left: maxObjects * (maxHash + 10)}
	if _, err := m.git.run(ctx, strings.NewReader(stdin), out, args...); err != nil {
		return err
	}
	s := bufio.NewScanner(&out.buf)
	for s.Scan() {
		use(s.Text())
	}
	return s.Err()
}
