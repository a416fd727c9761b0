package qemu

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// lockMemory lets children of this process lock a guest's memory, in MiB, and what
// QEMU adds: a passed-through device reaches memory by its physical address. The
// limit is the whole process's, is only ever raised, and costs nothing by itself.
func lockMemory(guest int) error {
	want := (uint64(guest) + 512) << 20
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &now); err != nil {
		return fmt.Errorf("limit of locked memory: %w", err)
	}
	if now.Cur >= want {
		return nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: want, Max: max(now.Max, want)}); err != nil {
		return fmt.Errorf("lock %d MiB of memory for a passed-through NIC: %w: raise ulimit -l", want>>20, err)
	}
	return nil
}
