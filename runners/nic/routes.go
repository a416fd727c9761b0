package nic

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// routing is what the host routes over an interface.
type routing struct{ any, byDefault bool }

// rejects is a flag of routes that lead nowhere (RTF_REJECT, linux/route.h).
const rejects = 0x0200

// routes reads the host's routes, by interface. What the kernel does not offer
// has no routes.
func (s System) routes() (map[string]routing, error) {
	out := map[string]routing{}
	v4, err := os.ReadFile(s.proc("net", "route"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	parseRoutes(string(v4), out)
	v6, err := os.ReadFile(s.proc("net", "ipv6_route"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	parseRoutes6(string(v6), out)
	return out, nil
}

// parseRoutes reads proc/net/route: a heading, then interface, destination,
// gateway, flags, three counters, mask.
func parseRoutes(text string, into map[string]routing) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		flags, err := strconv.ParseUint(f[3], 16, 32)
		if err != nil || flags&rejects != 0 {
			continue
		}
		r := into[f[0]]
		into[f[0]] = routing{true, r.byDefault || zeroes(f[1]) && zeroes(f[7])}
	}
}

// parseRoutes6 reads proc/net/ipv6_route: destination, its length, source, its
// length, gateway, metric, two counters, flags, interface. Every interface that
// is up has routes to its own link and to multicast: they say nothing.
func parseRoutes6(text string, into map[string]routing) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[9] == "lo" || strings.HasPrefix(f[0], "fe80") || strings.HasPrefix(f[0], "ff") {
			continue
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		if err != nil || flags&rejects != 0 {
			continue
		}
		r := into[f[9]]
		into[f[9]] = routing{true, r.byDefault || zeroes(f[0]) && zeroes(f[1])}
	}
}

func zeroes(s string) bool { return strings.Trim(s, "0") == "" }
