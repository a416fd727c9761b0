//go:build linux || freebsd

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// readable are the folders in which a kernel shows itself. Other files belong to
// a suite's own operations.
var readable = []string{"/proc/", "/sys/"}

const firstRead = 64 << 10

// readFile reads a file of the kernel's, which says nothing of its size before.
func readFile(ctx context.Context, path string) (raw, error) {
	path = filepath.Clean(path)
	ours := false
	for _, root := range readable {
		ours = ours || strings.HasPrefix(path, root)
	}
	if !ours {
		return raw{}, fmt.Errorf("%s: not below %s", path, strings.Join(readable, " or "))
	}
	// A file that can wait, such as kmsg, is not waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return raw{absent: true}, nil
	}
	if err != nil {
		return raw{}, notOurs(bare(err))
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	var b bytes.Buffer
	b.Grow(firstRead) // large reads: a table that changes meanwhile is cut at fewer places
	_, err = b.ReadFrom(io.LimitReader(f, MaxReading+1))
	data := b.Bytes()
	switch {
	case ctx.Err() != nil:
		return raw{}, context.Cause(ctx)
	case err != nil:
		return raw{}, bare(err)
	case len(data) > MaxReading:
		return raw{}, fmt.Errorf("%s: more than %d bytes", path, MaxReading)
	}
	return raw{data: data}, nil
}

// bare names the call instead of the Go function that made it.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s %s: %w", e.Op, e.Path, e.Err)
	}
	return err
}
