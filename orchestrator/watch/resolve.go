package watch

import (
	"context"
	"fmt"
	"strings"
	"unicode"
)

const maxRev = 255 // bytes of a revision

// Resolve turns a revision (hash, unique abbreviation, branch, HEAD~3) into the
// full hash of a commit in the mirror. It asks nobody: what came upstream since
// the last Fetch is unknown.
func (m *Mirror) Resolve(ctx context.Context, rev string) (string, error) {
	odd := func(r rune) bool { return unicode.IsControl(r) }
	if rev == "" || len(rev) > maxRev || rev[0] == '-' || strings.ContainsFunc(rev, odd) {
		return "", fmt.Errorf("%.300q is not a revision", rev)
	}
	hash, found, err := m.lookUp(ctx, rev)
	switch {
	case err != nil:
		return "", fmt.Errorf("resolve %q in upstream %q: %w", rev, m.cfg.Upstream, err)
	case found == many:
		return "", fmt.Errorf("revision %q is ambiguous in upstream %q: give more digits", rev, m.cfg.Upstream)
	case found == none:
		return "", fmt.Errorf("unknown revision %q in upstream %q", rev, m.cfg.Upstream)
	}
	return hash, nil
}

// matches says how many commits a revision names. The zero value is invalid.
type matches int

const (
	_ matches = iota
	none
	one
	many
)

// lookUp asks git what commit a revision names. The revision goes by standard
// input, where nothing can be taken for an option. It is asked for as a commit,
// which leaves out the trees and files that share an abbreviation, and as it is,
// for only so does git say that it is ambiguous.
func (m *Mirror) lookUp(ctx context.Context, rev string) (string, matches, error) {
	query := rev + "^{commit}"
	out := &capped{left: 4 << 10}
	_, err := m.git.run(ctx, strings.NewReader(query+"\n"+rev+"\n"), out, "cat-file", "--batch-check=%(objectname) %(objecttype)")
	if err != nil {
		return "", 0, err
	}
	commit, plain, _ := strings.Cut(strings.TrimSuffix(out.buf.String(), "\n"), "\n")
	hash, kind, _ := strings.Cut(commit, " ")
	switch {
	case kind == "commit" && isHash(hash):
		return hash, one, nil
	case plain == rev+" ambiguous":
		return "", many, nil
	case commit == query+" missing":
		return "", none, nil
	}
	return "", 0, fmt.Errorf("git cat-file answered %q to %q", commit, query)
}
