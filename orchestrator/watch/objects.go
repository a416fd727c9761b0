package watch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
)

const (
	maxTree      = 64 << 20 // bytes of one tree object
	maxTreeCache = 32 << 20 // bytes of trees remembered by a reader
)

// errMissing says that the mirror lacks an object.
var errMissing = errors.New("object is not in the mirror")

// objects reads objects through one git cat-file process. It is for one
// goroutine.
type objects struct {
	in     io.Writer
	out    *bufio.Reader
	cache  map[string][]treeEntry // tree id → entries; most trees are the same in commit after commit
	cached int                    // bytes of the trees in cache
}

// treeEntry is one name in a tree.
type treeEntry struct {
	mode uint32 // as git has it: modeTree, …
	name string
	id   string
}

// The kinds of entry, in the upper bits of a mode.
const (
	modeMask = 0o170000
	modeTree = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modeSub  = 0o160000 // a submodule's commit
)

// read gives use a reader of the mirror's objects. A content that the mirror
// lacks is errMissing; nothing is downloaded.
func (m *Mirror) read(ctx context.Context, use func(*objects) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := m.git.command(ctx, []string{"cat-file", "--batch"})
	var last tail
	cmd.Stderr = &last
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // for the parent-death signal, as in git.run
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return ended(ctx, cmd, "cat-file", "", err)
	}
	useErr := use(&objects{in: in, out: bufio.NewReaderSize(out, 64<<10), cache: map[string][]treeEntry{}})
	if useErr != nil {
		cancel(useErr) // it may be in the middle of an answer
	}
	closeErr := in.Close()
	err = ended(ctx, cmd, "cat-file", last.String(), cmd.Wait())
	switch {
	case useErr == nil:
		return errors.Join(err, closeErr)
	case errors.Is(useErr, errPipe) && err != nil:
		return err // git says why it went away
	}
	return useErr
}

// errPipe says that the conversation with git broke.
var errPipe = errors.New("git cat-file ended early")

// open asks for an object. The caller reads size bytes from out, then calls skip
// once.
func (o *objects) open(name string) (id, kind string, size int64, err error) {
	if _, err := io.WriteString(o.in, name+"\n"); err != nil {
		return "", "", 0, fmt.Errorf("%w: %w", errPipe, err)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		return "", "", 0, fmt.Errorf("%w: %w", errPipe, err)
	}
	line = strings.TrimSuffix(line, "\n")
	if line == name+" missing" {
		return "", "", 0, errMissing
	}
	f := strings.Split(line, " ")
	if len(f) != 3 || !isHash(f[0]) {
		return "", "", 0, fmt.Errorf("%w: it answered %q to %q", errPipe, printable(line), name)
	}
	size, err = strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 {
		return "", "", 0, fmt.Errorf("%w: it gave %q the size %q", errPipe, name, f[2])
	}
	return f[0], f[1], size, nil
}

// skip passes over n bytes and the line feed behind an object.
func (o *objects) skip(n int64) error {
	if _, err := io.CopyN(io.Discard, o.out, n+1); err != nil {
		return fmt.Errorf("%w: %w", errPipe, err)
	}
	return nil
}

// tree returns a tree's entries and its id. name is an id or commit^{tree}.
func (o *objects) tree(name string) ([]treeEntry, string, error) {
	if entries, ok := o.cache[name]; ok {
		return entries, name, nil
	}
	id, kind, size, err := o.open(name)
	if err != nil {
		return nil, "", err
	}
	if kind != "tree" || size > maxTree {
		return nil, "", fmt.Errorf("object %s is a %s of %d bytes, not a tree of at most %d", id, kind, size, maxTree)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(o.out, raw); err != nil {
		return nil, "", fmt.Errorf("%w: %w", errPipe, err)
	}
	if err := o.skip(0); err != nil {
		return nil, "", err
	}
	entries, err := parseTree(raw, len(id)/2)
	if err != nil {
		return nil, "", fmt.Errorf("tree %s: %w", id, err)
	}
	if o.cached += len(raw); o.cached > maxTreeCache {
		clear(o.cache)
		o.cached = len(raw)
	}
	o.cache[id] = entries
	return entries, id, nil
}

// blob copies a file's content to w.
func (o *objects) blob(id string, w io.Writer) error {
	_, kind, size, err := o.open(id)
	if err != nil {
		return err
	}
	if kind != "blob" {
		return fmt.Errorf("object %s is a %s, not a file's content", id, kind)
	}
	if _, err := io.CopyN(w, o.out, size); errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errPipe, io.ErrUnexpectedEOF)
	} else if err != nil {
		return err
	}
	return o.skip(0)
}

// find returns the entry at a clean path below a tree. A path that is not there
// is not found; "." is the tree itself.
func (o *objects) find(root, path string) (e treeEntry, found bool, err error) {
	e = treeEntry{mode: modeTree, id: root}
	if path == "." {
		return e, true, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if e.mode&modeMask != modeTree {
			return treeEntry{}, false, nil
		}
		entries, _, err := o.tree(e.id)
		if err != nil {
			return treeEntry{}, false, err
		}
		found = false
		for _, next := range entries {
			if next.name == name {
				e, found = next, true
				break
			}
		}
		if !found {
			return treeEntry{}, false, nil
		}
	}
	return e, true, nil
}

// parseTree reads a tree object: "<octal mode> <name>\0<raw id>" after another,
// with ids of width bytes.
func parseTree(raw []byte, width int) ([]treeEntry, error) {
	var entries []treeEntry
	for len(raw) > 0 {
		head, rest, ok := bytes.Cut(raw, []byte{0})
		mode, name, named := strings.Cut(string(head), " ")
		if !ok || !named || len(rest) < width {
			return nil, errors.New("malformed entry")
		}
		bits, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			return nil, fmt.Errorf("mode of %q: %w", name, err)
		}
		entries = append(entries, treeEntry{mode: uint32(bits), name: name, id: hex.EncodeToString(rest[:width])})
		raw = rest[width:]
	}
	return entries, nil
}
