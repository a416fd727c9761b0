package disk

import (
	"io/fs"
	"syscall"
)

// inode tells files apart, whatever their names.
type inode struct{ dev, ino uint64 }

// inodeOf is the identity of a file of this host, and whether it has more names
// than one.
func inodeOf(st fs.FileInfo) (inode, bool) {
	sys := st.Sys().(*syscall.Stat_t) // on every system that this builds for
	return inode{uint64(sys.Dev), uint64(sys.Ino)}, sys.Nlink > 1
}
