package main

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hang gives every CPU to threads that nothing else may interrupt, so that the kernel
// lives and this program, heartbeat and all, never runs again.
func hang(context.Context, json.RawMessage) (any, error) {
	if err := os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0); err != nil {
		return nil, err
	}
	refused := make(chan error)
	for range runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			const fifo = 1 // SCHED_FIFO, sched(7)
			priority := int32(99)
			if _, _, e := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority))); e != 0 {
				refused <- e
			}
			for {
			}
		}()
	}
	return nil, <-refused
}
