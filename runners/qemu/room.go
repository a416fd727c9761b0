package qemu

import (
	"path/filepath"
	"strconv"
	"strings"
)

// roomBeside is how much memory is to be left beside a spare and all that its guest
// could come to use, in bytes.
const roomBeside = 512 << 20

// roomFor says whether a spare whose guest has so much memory, in MiB, would leave
// enough. A host that does not tell has enough.
func roomFor(guest int, available int64) bool {
	return available < 0 || available >= int64(guest)<<20+roomBeside
}

// memAvailable reads /proc/meminfo; -1: it does not say.
func memAvailable(text string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			if kib, err := strconv.ParseInt(f[1], 10, 54); err == nil {
				return kib << 10
			}
		}
	}
	return -1
}

// groupLeft is what a control group of version 2, as /proc/self/cgroup names it, has
// left of its memory; -1: it has no limit. Pages of files count as used there, so it
// errs to the safe side.
func groupLeft(self string, read func(string) ([]byte, error)) int64 {
	for line := range strings.Lines(self) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		number := func(name string) int64 {
			text, err := read(filepath.Join("/sys/fs/cgroup", path, name))
			if err != nil {
				return -1
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err != nil { // "max"
				return -1
			}
			return n
		}
		limit, used := number("memory.max"), number("memory.current")
		if limit >= 0 && used >= 0 {
			return max(limit-used, 0)
		}
	}
	return -1
}
