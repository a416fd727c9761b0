package tcp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Sample is what was in use, by name, when so many rounds were done.
type Sample struct {
	Rounds int
	InUse  map[string]int64
}

// Leak is a kind of item that stays in use with each round.
type Leak struct {
	Name  string
	Items int64   // more in the last sample than in the first
	Slope float64 // items of a round
}

func (l Leak) String() string {
	return fmt.Sprintf("%s: %d items more in use, %.3g of a round", l.Name, l.Items, l.Slope)
}

// least is how many items more 2n rounds must leave behind than n, to be a leak: a
// twentieth of the rounds, and no fewer than 16, which is what caches of CPUs vary by.
func least(n int) float64 { return max(16, 0.05*float64(n)) }

// Leaks finds what grows with the rounds. The samples are of n rounds and then of 2n
// more, evenly apart. A leak grows by least(n) more in the 2n than in the n; its slope
// over all samples, by the median of all pairs (Theil 1950, Sen 1968), is that of such
// a growth; and so is half of it in most of the steps. A pool that fills stops, and a
// table that doubles grows in one step.
func Leaks(samples []Sample, n int) []Leak {
	if len(samples) < 4 {
		return nil
	}
	first, last := samples[0], samples[len(samples)-1]
	middle := slices.IndexFunc(samples, func(s Sample) bool { return s.Rounds-first.Rounds >= n })
	names := map[string]bool{}
	for _, s := range samples {
		for name := range s.InUse {
			names[name] = true
		}
	}
	var leaks []Leak
	for name := range names {
		if cached(name) {
			continue
		}
		afterN := samples[middle].InUse[name] - first.InUse[name]
		after2N := last.InUse[name] - samples[middle].InUse[name]
		slope := theilSen(samples, name)
		rate := least(n) / float64(n)
		if float64(after2N-afterN) >= least(n) && slope >= rate && medianStep(samples, name) >= rate/2 {
			leaks = append(leaks, Leak{name, last.InUse[name] - first.InUse[name], slope})
		}
	}
	slices.SortFunc(leaks, func(a, b Leak) int { return cmp.Or(cmp.Compare(b.Slope, a.Slope), strings.Compare(a.Name, b.Name)) })
	return leaks
}

// theilSen is the median slope of all pairs of samples.
func theilSen(samples []Sample, name string) float64 {
	var slopes []float64
	for i, a := range samples {
		for _, b := range samples[i+1:] {
			if b.Rounds > a.Rounds {
				slopes = append(slopes, float64(b.InUse[name]-a.InUse[name])/float64(b.Rounds-a.Rounds))
			}
		}
	}
	return median(slopes)
}

// medianStep is the median slope from one sample to the next.
func medianStep(samples []Sample, name string) float64 {
	var slopes []float64
	for i, b := range samples[1:] {
		if a := samples[i]; b.Rounds > a.Rounds {
			slopes = append(slopes, float64(b.InUse[name]-a.InUse[name])/float64(b.Rounds-a.Rounds))
		}
	}
	return median(slopes)
}

// median sorts x; it is 0 for none.
func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	mid := len(x) / 2
	if len(x)%2 == 1 {
		return x[mid]
	}
	return (x[mid-1] + x[mid]) / 2
}

// cached says whether a name is of what a kernel keeps ready for later: it is in use
// by caches, not by anybody.
func cached(name string) bool {
	_, name, _ = strings.Cut(name, " ")
	switch {
	case strings.HasSuffix(name, "_Bucket"), strings.HasPrefix(name, "UMA"): // vm/uma_core.c: caches of CPUs, and the zones' own tables
		return true
	case strings.HasPrefix(name, "vm_pgcache"): // vm/vm_page.c: free pages
		return true
	case name == "net.inet.tcp.hostcache.count": // tcp_hostcache.c: a pool with a limit
		return true
	}
	return false
}
