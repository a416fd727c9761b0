package guest

import (
	"os"

	"golang.org/x/sys/unix"
)

// shmAnon is SHM_ANON of sys/mman.h: an object without a name.
const shmAnon = 1

func memoryObject() (*os.File, error) {
	fd, _, errno := unix.Syscall(unix.SYS_SHM_OPEN, shmAnon, unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if errno != 0 {
		return nil, os.NewSyscallError("shm_open", errno)
	}
	return os.NewFile(fd, "shm"), nil
}
