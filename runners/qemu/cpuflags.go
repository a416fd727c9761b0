package qemu

import (
	"os"
	"strings"
)

// cpuFlags are those of the host's first CPU, from Linux' /proc/cpuinfo; nil where
// there is none.
func cpuFlags() []string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil
	}
	return parseFlags(string(text))
}

func parseFlags(cpuinfo string) []string {
	for line := range strings.Lines(cpuinfo) {
		if name, list, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			return strings.Fields(list)
		}
	}
	return nil
}
