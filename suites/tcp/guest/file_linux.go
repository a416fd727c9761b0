package guest

import "golang.org/x/sys/unix"

func memoryFile() (fd int, err error) { return unix.MemfdCreate("content", unix.MFD_CLOEXEC) }
