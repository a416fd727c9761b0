package guest

import (
	"os"

	"golang.org/x/sys/unix"
)

// bindThread binds the calling thread to a CPU.
func bindThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
}
