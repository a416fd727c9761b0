package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Upstream is the bare repository that the demo follows. Its branch "all" holds
// the whole history; "main", the followed one, moves along it as commits are
// published.
type Upstream struct {
	Dir    string
	Seed   uint64
	hashes []string // of every commit, oldest first
}

// Open makes the upstream at dir from a seed, or opens the one that is there; a
// seed of 0 takes what is there. A half-made one is made again.
func Open(ctx context.Context, dir string, seed uint64) (*Upstream, error) {
	mark := filepath.Join(dir, "demo-seed")
	text, err := os.ReadFile(mark)
	if errors.Is(err, fs.ErrNotExist) {
		if seed == 0 {
			return nil, fmt.Errorf("no demo upstream at %s", dir)
		}
		if err := create(ctx, dir, mark, seed); err != nil {
			return nil, fmt.Errorf("make the demo's upstream: %w", err)
		}
		text = strconv.AppendUint(nil, seed, 10)
	} else if err != nil {
		return nil, err
	}
	have, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mark, err)
	}
	if seed != 0 && seed != have {
		return nil, fmt.Errorf("the demo at %s was made from seed %d, not %d: use another --state or --fresh", dir, have, seed)
	}
	out, err := git(ctx, dir, nil, "rev-list", "--reverse", "--first-parent", "refs/heads/all")
	if err != nil {
		return nil, err
	}
	return &Upstream{Dir: dir, Seed: have, hashes: strings.Fields(out)}, nil
}

// create writes the mark last, so that what a kill left behind is not taken for
// an upstream.
func create(ctx context.Context, dir, mark string, seed uint64) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := git(ctx, dir, nil, "init", "--quiet", "--bare", "--initial-branch=main", "."); err != nil {
		return err
	}
	if _, err := git(ctx, dir, []byte(stream(plan(seed))), "fast-import", "--quiet"); err != nil {
		return err
	}
	return os.WriteFile(mark, strconv.AppendUint(nil, seed, 10), 0o644)
}

// Len is the number of commits of the whole history.
func (u *Upstream) Len() int { return len(u.hashes) }

// Hash is the object id of commit i, counted from 0.
func (u *Upstream) Hash(i int) string { return u.hashes[i] }

// Published is how many commits the followed branch shows.
func (u *Upstream) Published(ctx context.Context) (int, error) {
	head, err := git(ctx, u.Dir, nil, "for-each-ref", "--format=%(objectname)", "refs/heads/main")
	if err != nil {
		return 0, err
	}
	return slices.Index(u.hashes, strings.TrimSpace(head)) + 1, nil
}

// Publish moves the followed branch to its first n commits.
func (u *Upstream) Publish(ctx context.Context, n int) error {
	_, err := git(ctx, u.Dir, nil, "update-ref", "refs/heads/main", u.hashes[min(n, len(u.hashes))-1])
	return err
}

// git runs git on the repository, with nothing of the user's configuration.
func git(ctx context.Context, dir string, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--git-dir", "."}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
