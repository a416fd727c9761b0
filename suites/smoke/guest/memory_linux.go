package guest

import (
	"os"

	"golang.org/x/sys/unix"
)

func memoryObject() (*os.File, error) {
	fd, err := unix.MemfdCreate("smoke", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "memfd"), nil
}
