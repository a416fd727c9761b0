package qemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is empty: QEMU's own needs Linux's seccomp. It runs without privileges
// all the same.
var sandbox []string

const folderFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// reopen is the file's own name: only fdescfs(5), which few systems mount, would
// give descriptors one. A kernel to boot directly must therefore lie where QEMU's
// user reaches it; a disk need not.
func reopen(_ int, path string) string { return path }

// inFolder is the file's own name, of which unix(4) takes 104 bytes.
func inFolder(dir *os.File, name string) string { return filepath.Join(dir.Name(), name) }

// copyOf fails: a copy without a name could not be opened again.
func copyOf(f *os.File) (*os.File, error) {
	return nil, fmt.Errorf("%s: the user %s, as whom QEMU runs, may not read it: make it readable for all", f.Name(), servant)
}

// freezes is false: memory without a name could not be handed to QEMU, and one with
// a name would be open to writing by every clone of it.
const freezes = false

// What templates are made of is not to be had here; see freezes.
var errNoTemplates = errors.New("no templates on this system")

func memoryFile(string) (*os.File, error)                   { return nil, errNoTemplates }
func again(*os.File, int) (*os.File, error)                 { return nil, errNoTemplates }
func seal(*os.File) error                                   { return errNoTemplates }
func flock(*os.File, bool) bool                             { return false }
func occupies(st os.FileInfo) int64                         { return st.Size() }
func nextData(*os.File, int64, int64) (int64, int64, error) { return 0, 0, errNoTemplates }

// own is false: connections are made in folders here.
func own(*os.File) bool { return false }

// starvation is zero: FreeBSD counts waiting for a CPU nowhere that another
// process could read.
func starvation(int) time.Duration { return 0 }
