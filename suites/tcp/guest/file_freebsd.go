package guest

import "golang.org/x/sys/unix"

// shmAnon is SHM_ANON (sys/mman.h): an object without a name.
const shmAnon = 1

func memoryFile() (fd int, err error) {
	n, _, errno := unix.Syscall(unix.SYS_SHM_OPEN, shmAnon, unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
