package superpage

import (
	"fmt"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/superpage/guest"
)

const (
	leastLarge  = 0.9 // share of an untroubled range that large pages map
	leastCycled = 0.5 // and of memory that is mapped and given back all the time
	pagesPer    = 512
)

// due are events that one large page causes at least once, by OS and kind of memory. The
// kernel counts those of the whole system, so there may be more. Names in one group are
// added: a shared large page is promoted or mapped at once, by the kernel's choice.
var due = map[string]map[string]struct{ made, parted []string }{
	"linux": {
		guest.Anon:   {made: []string{"thp_fault_alloc"}, parted: []string{"thp_split_pmd"}},
		guest.Shared: {made: []string{"thp_file_mapped"}},
	},
	"freebsd": {
		guest.Anon: {made: []string{"vm.pmap.pde.promotions", "vm.pmap.l2.promotions"}, parted: []string{"vm.pmap.pde.demotions", "vm.pmap.l2.demotions"}},
		guest.Shared: {
			made:   []string{"vm.pmap.pde.promotions", "vm.pmap.pde.mappings", "vm.pmap.l2.promotions", "vm.pmap.l2.mappings"},
			parted: []string{"vm.pmap.pde.demotions", "vm.pmap.l2.demotions"},
		},
	},
}

func judgePopulated(os string, args guest.PopulateArgs, saw guest.Populated) error {
	want := args.MiB << 20 / 4096
	if saw.Of != want {
		return fmt.Errorf("agent reports %d pages of %d", saw.Of, want)
	}
	least := int(leastLarge * float64(want))
	switch {
	case saw.Wrong > 0:
		return suites.Failf("%d words of %s memory do not hold what was written, the first in page %d", saw.Wrong, args.Kind, saw.FirstWrong)
	case saw.LargePages < least:
		return suites.Failf("large pages map %d of %d pages of %s memory, want %d", saw.LargePages, want, args.Kind, least)
	case saw.PartLarge > 0:
		return suites.Failf("%d of %d pages of %s memory are mapped by large pages in which one page has another permission", saw.PartLarge, want, args.Kind)
	}
	events := due[os][args.Kind]
	if err := judgeEvents("making", events.made, saw.Before, saw.Filled, saw.LargePages/pagesPer); err != nil {
		return err
	}
	return judgeEvents("taking apart", events.parted, saw.Filled, saw.Parted, saw.LargePages/pagesPer)
}

// judgeEvents compares counters with what was done. A kernel that has none of them is
// not judged.
func judgeEvents(what string, names []string, before, after guest.Counters, large int) error {
	sum, known := int64(0), false
	for _, name := range names {
		if n, ok := after[name]; ok {
			sum, known = sum+n-before[name], true
		}
	}
	if known && sum < int64(leastLarge*float64(large)) {
		return suites.Failf("%s %d large pages is counted as %d events of %v", what, large, sum, names)
	}
	return nil
}

func judgeStale(args guest.StaleArgs, saw guest.Stale) error {
	if len(saw.Ways) != len(args.Ways) {
		return fmt.Errorf("agent reports %d ways of %d", len(saw.Ways), len(args.Ways))
	}
	for _, w := range saw.Ways {
		if len(w.Hits) > 0 {
			h := w.Hits[0]
			where := fmt.Sprintf("%s, page %d at %#x, on CPU %d, %.0f us after the call on CPU %d had returned", w.Way, h.Page, h.Addr, h.CPU, h.SinceUS, h.Caller)
			if h.Lost {
				return suites.Failf("%s: a %s that is allowed was refused or saw %#x", where, h.Probe, h.Got)
			}
			return suites.Failf("%s: a %s still had what was taken away (%d of %d probes of this way did not)", where, h.Probe, w.Denied, w.Probes)
		}
		switch {
		case w.Rounds != args.Rounds || w.Probes == 0:
			return fmt.Errorf("agent reports %d rounds of %d, %d probes", w.Rounds, args.Rounds, w.Probes)
		case w.Denied != w.Probes:
			return fmt.Errorf("agent reports %d of %d probes denied, and no hit", w.Denied, w.Probes)
		case w.Large < leastCycled:
			return suites.Failf("%s: large pages mapped %.0f %% of the memory before something was taken away, want %.0f %%", w.Way, 100*w.Large, 100*leastCycled)
		}
	}
	return nil
}

// judgeRandom is of a run in which memory was as it must be.
func judgeRandom(saw guest.Random) error {
	switch {
	case saw.Scripts == 0 || saw.Ops == 0:
		return fmt.Errorf("agent reports %d scripts and %d operations", saw.Scripts, saw.Ops)
	case saw.Large < leastCycled:
		return suites.Failf("large pages mapped %.0f %% of ranges that were just filled, want %.0f %%", 100*saw.Large, 100*leastCycled)
	}
	return nil
}

// kept are the counters, in pages, that must be back where they were.
var kept = []string{"nr_page_table_pages", "nr_anon_pages", "vm.stats.vm.v_wire_count", "vm.stats.vm.v_user_wire_count", "vm.pmap.user_pt_page_count"}

// judgeCycles compares what was in use after half of the cycles with what was after all
// of them: what a kernel sets up once is there by the half.
func judgeCycles(args guest.CyclesArgs, saw guest.Cycles) error {
	if n := len(saw.Samples); n != args.Samples || saw.Samples[n-1].Cycles != args.Count {
		return fmt.Errorf("agent reports %d samples of %d", n, args.Samples)
	}
	half, last := saw.Samples[len(saw.Samples)/2], saw.Samples[len(saw.Samples)-1]
	limit := max(64, int64(last.Cycles-half.Cycles)/20)
	switch {
	case saw.Wrong > 0:
		return suites.Failf("%d words did not hold what was written", saw.Wrong)
	case saw.Large < leastCycled:
		return suites.Failf("large pages mapped %.0f %% of what was filled, want %.0f %%", 100*saw.Large, 100*leastCycled)
	}
	for _, name := range kept {
		if grown := last.Counters[name] - half.Counters[name]; grown > limit && steady(saw.Samples[len(saw.Samples)/2:], name) {
			return suites.Failf("%s grew by %d pages in %d cycles, at most %d is no leak", name, grown, last.Cycles-half.Cycles, limit)
		}
	}
	return nil
}

// steady says that a counter rose from each sample to the next: what something else in
// the guest takes once is no leak of every cycle.
func steady(samples []guest.CycleSample, name string) bool {
	for i := range samples[1:] {
		if samples[i+1].Counters[name] <= samples[i].Counters[name] {
			return false
		}
	}
	return true
}
