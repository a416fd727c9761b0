package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/headwatch/headwatch/runners"
)

// Limits of an overlay. It comes from a commit that nobody reviewed.
const (
	maxOverlay      = 64 << 20 // bytes of all files below files/
	maxOverlayNodes = 10000
	maxOverlayText  = 64 << 10 // bytes of cmdline, modules or sysctl.conf
)

// overlay is what a commit's tree says about the guest; see docs/linux-guest.md.
// The zero value is an empty one.
type overlay struct {
	name    string   // as the recipe says it, for messages
	root    *os.Root // of its folder; nil when the commit has none
	cmdline []string
	modules []said
	sysctls []setting
	files   []node   // below the guest's root, parents before children
	size    int64    // bytes of the files
	strange []string // names in its folder that mean nothing here
}

func (o *overlay) close() {
	if o.root != nil {
		o.root.Close()
	}
}

// blame makes the error for a fault in a file of the overlay.
func (o *overlay) blame(file, format string, args ...any) error {
	return &runners.BuildError{Reason: path.Join(o.name, file) + ": " + fmt.Sprintf(format, args...)}
}

// readOverlay reads the overlay called name in the tree at dir. A tree without
// it, or no tree (empty dir), has an empty one. The error is a
// *runners.BuildError when the overlay is at fault. It never follows a symbolic
// link. The caller closes the overlay after the last use of its files.
func readOverlay(ctx context.Context, dir, name string) (*overlay, error) {
	o := &overlay{name: name}
	if dir == "" || name == "" {
		return o, nil
	}
	if err := o.enter(dir); err != nil || o.root == nil {
		return o, err
	}
	if err := o.read(ctx); err != nil {
		o.close()
		return o, err
	}
	return o, nil
}

// enter opens the overlay's folder, unless the tree lacks it.
func (o *overlay) enter(dir string) error {
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := ""
	for part := range strings.SplitSeq(o.name, "/") {
		at = path.Join(at, part)
		st, err := tree.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !st.IsDir() {
			return &runners.BuildError{Reason: fmt.Sprintf("%s: expected a folder, found a %s", at, kindOf(st.Mode()))}
		}
	}
	o.root, err = tree.OpenRoot(o.name)
	return err
}

func (o *overlay) read(ctx context.Context) error {
	top, err := fs.ReadDir(o.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range top {
		var text []byte
		switch e.Name() {
		case "cmdline", "modules", "sysctl.conf":
			if text, err = o.text(e.Name()); err != nil {
				return err
			}
		}
		switch e.Name() {
		case "cmdline":
			o.cmdline, err = parseCmdline(text)
		case "modules":
			o.modules, err = parseModules(text)
		case "sysctl.conf":
			o.sysctls, err = parseSysctl(text)
		case "files":
			if !e.IsDir() { // WalkDir would follow a link
				return o.blame("files", "expected a folder, found a %s", kindOf(e.Type()))
			}
			err = o.walk(ctx)
		default:
			o.strange = append(o.strange, e.Name())
		}
		if s, ok := errors.AsType[*syntaxError](err); ok {
			return o.blame(fmt.Sprintf("%s:%d", e.Name(), s.line), "%s", s.msg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// text reads a small file.
func (o *overlay) text(file string) ([]byte, error) {
	st, err := o.root.Lstat(file)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, o.blame(file, "expected a file, found a %s", kindOf(st.Mode()))
	}
	f, err := o.root.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxOverlayText+1))
	if err == nil && len(b) > maxOverlayText {
		return nil, o.blame(file, "more than %d KiB", maxOverlayText>>10)
	}
	return b, err
}

// walk lists what is below files/.
func (o *overlay) walk(ctx context.Context) error {
	return fs.WalkDir(o.root.FS(), "files", func(p string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name, below := strings.CutPrefix(p, "files/")
		if !below {
			return nil
		}
		if !utf8.ValidString(name) || checkText(name) != nil || checkNodeName(name) != nil {
			return o.blame(fmt.Sprintf("%.100q", p), "file name is too long or holds more than printable UTF-8")
		}
		if len(o.files) == maxOverlayNodes {
			return o.blame("files", "more than %d entries", maxOverlayNodes)
		}
		n, err := o.node(p, name, e)
		if err != nil {
			return err
		}
		if o.size += n.size; o.size > maxOverlay {
			return o.blame(p, "the overlay's files are larger than %d MiB", maxOverlay>>20)
		}
		o.files = append(o.files, n)
		return nil
	})
}

// node describes one entry. Of its permissions only the executable bit counts,
// as in git, so that the umask of an export cannot change an image.
func (o *overlay) node(p, name string, e fs.DirEntry) (node, error) {
	st, err := e.Info()
	if err != nil {
		return node{}, err
	}
	switch n := (node{name: name}); st.Mode().Type() {
	case fs.ModeDir:
		n.mode = fs.ModeDir | 0o755
		return n, nil
	case fs.ModeSymlink:
		n.mode = fs.ModeSymlink | 0o777
		n.target, err = o.root.Readlink(p)
		if err == nil && (n.target == "" || len(n.target) > maxNodeName || strings.ContainsRune(n.target, 0)) {
			err = o.blame(p, "symbolic link to an unusable name")
		}
		return n, err
	case 0:
		n.mode, n.size = 0o644, st.Size()
		if st.Mode()&0o111 != 0 {
			n.mode = 0o755
		}
		n.open = func() (io.ReadCloser, error) { return o.root.Open(p) }
		return n, nil
	}
	return node{}, o.blame(p, "expected a file, a folder or a symbolic link, found a %s", kindOf(st.Mode()))
}

func kindOf(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "folder"
	case fs.ModeSymlink:
		return "symbolic link"
	case fs.ModeNamedPipe:
		return "named pipe"
	case fs.ModeSocket:
		return "socket"
	}
	return "device"
}
