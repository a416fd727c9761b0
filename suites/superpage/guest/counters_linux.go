package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// settings make the kernel use large pages wherever it can, at the fault, and keep its
// daemon from making or taking any: what a case sees is then of its own doing.
var settings = [][2]string{
	{"enabled", "always"}, {"shmem_enabled", "always"}, {"defrag", "always"},
	{"khugepaged/scan_sleep_millisecs", "3600000"}, {"khugepaged/pages_to_scan", "1"},
}

const thp = "/sys/kernel/mm/transparent_hugepage/"

// prepare sets the kernel up and says what it has.
func prepare() (p Prepared, err error) {
	cpus, err := cpuList()
	if err != nil {
		return p, err
	}
	p = Prepared{Page: os.Getpagesize(), CPUs: len(cpus)}
	size, err := os.ReadFile(thp + "hpage_pmd_size")
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if p.Large, err = strconv.Atoi(strings.TrimSpace(string(size))); err != nil {
		return p, fmt.Errorf("%shpage_pmd_size: %w", thp, err)
	}
	for _, s := range settings {
		if err := os.WriteFile(thp+s[0], []byte(s[1]), 0); err != nil {
			return p, fmt.Errorf("%s%s=%s: %w", thp, s[0], s[1], err)
		}
	}
	enabled, err := os.ReadFile(thp + "enabled")
	p.Enabled = strings.Contains(string(enabled), "[always]")
	return p, err
}

// counted are the counters of /proc/vmstat, which are pages or events, by prefix.
var counted = []string{"thp_", "nr_anon_pages", "nr_mapped", "nr_shmem", "nr_page_table_pages", "nr_mlock", "nr_unevictable", "nr_anon_transparent", "nr_kernel_stack"}

// counters are what leaks or moves when memory is mapped.
func counters() (Counters, error) {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return nil, err
	}
	c := Counters{}
	for line := range strings.Lines(string(b)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, prefix := range counted {
			if strings.HasPrefix(name, prefix) {
				if c[name], err = strconv.ParseInt(number, 10, 64); err != nil {
					return nil, fmt.Errorf("/proc/vmstat: %s: %w", name, err)
				}
			}
		}
	}
	return c, nil
}
