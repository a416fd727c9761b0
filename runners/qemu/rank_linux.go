package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// rank is how a process was scheduled before it was lowered.
type rank = unix.SchedAttr

// lower gives QEMU, which has just been started, only CPU that nobody else wants
// (SCHED_IDLE of sched(7)). Its threads inherit that. Where it fails QEMU is as it
// was: it disturbs others, and that is all.
func (p *process) lower() {
	was, err := unix.SchedGetAttr(p.cmd.Process.Pid, 0)
	if err != nil {
		return
	}
	now := *was
	now.Policy, now.Nice, now.Priority = unix.SCHED_IDLE, 0, 0
	if unix.SchedSetAttr(p.cmd.Process.Pid, &now, 0) == nil {
		p.rank = was
	}
}

// raise undoes lower. A thread may be born of one that is still low, so it looks
// until there is none.
func (p *process) raise() {
	for left := p.rank != nil; left; {
		left = false
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
		for _, task := range tasks {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				continue
			}
			now, err := unix.SchedGetAttr(tid, 0)
			if err == nil && now.Policy == unix.SCHED_IDLE && unix.SchedSetAttr(tid, p.rank, 0) == nil {
				left = true
			}
		}
	}
}

// raises says whether this process may take the lowest priority back from one that
// it gave it to: it tries, on a thread that ends if it may not.
func raises() bool {
	may := make(chan bool)
	go func() {
		runtime.LockOSThread()
		was, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			may <- false
			return
		}
		now := *was
		now.Policy, now.Nice, now.Priority = unix.SCHED_IDLE, 0, 0
		if err := unix.SchedSetAttr(0, &now, 0); err == nil {
			err = unix.SchedSetAttr(0, was, 0)
			may <- err == nil
			return // locked: the thread ends
		}
		may <- false
	}()
	return <-may
}

// available is how much memory could be had without swapping, in bytes, by the host
// (MemAvailable of proc(5)) and by the control group of this process (memory.max of
// cgroups(7)); -1: the host does not tell.
func available() int64 {
	free := int64(-1)
	text, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		free = memAvailable(string(text))
	}
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return free
	}
	if left := groupLeft(string(group), os.ReadFile); left >= 0 && (free < 0 || left < free) {
		free = left
	}
	return free
}
