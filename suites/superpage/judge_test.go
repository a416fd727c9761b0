package superpage

import (
	"strings"
	"testing"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/superpage/guest"
)

// check compares what a judge returned with a status and a part of its reason.
func check(t *testing.T, name string, err error, status suites.Status, says string) {
	t.Helper()
	got, reason := suites.Passed, ""
	if err != nil {
		got, reason = suites.Classify(err)
	}
	if got != status || !strings.Contains(reason, says) {
		t.Errorf("%s: %v %q, want %v with %q", name, got, reason, status, says)
	}
}

func TestJudgePopulated(t *testing.T) {
	args := guest.PopulateArgs{Kind: guest.Anon, MiB: 64}
	good := func() guest.Populated {
		return guest.Populated{
			Of: 16384, LargePages: 16384,
			Before: guest.Counters{"thp_fault_alloc": 5, "thp_split_pmd": 1},
			Filled: guest.Counters{"thp_fault_alloc": 37, "thp_split_pmd": 1},
			Parted: guest.Counters{"thp_fault_alloc": 37, "thp_split_pmd": 33},
		}
	}
	for _, c := range []struct {
		name   string
		change func(*guest.Populated)
		status suites.Status
		says   string
	}{
		{"sound", func(*guest.Populated) {}, suites.Passed, ""},
		{"nine tenths", func(p *guest.Populated) { p.LargePages = 14746 }, suites.Passed, ""},
		{"never large", func(p *guest.Populated) { p.LargePages = 0 }, suites.Failed, "large pages map 0 of 16384"},
		{"wrong word", func(p *guest.Populated) { p.Wrong, p.FirstWrong = 1, 7 }, suites.Failed, "in page 7"},
		{"not taken apart", func(p *guest.Populated) { p.PartLarge = 512 }, suites.Failed, "another permission"},
		{"not counted", func(p *guest.Populated) { p.Filled["thp_fault_alloc"] = 6 }, suites.Failed, "making 32 large pages is counted as 1"},
		{"splits not counted", func(p *guest.Populated) { p.Parted["thp_split_pmd"] = 1 }, suites.Failed, "taking apart 32"},
		{"no such counter", func(p *guest.Populated) { p.Before, p.Filled, p.Parted = nil, nil, nil }, suites.Passed, ""},
		{"another size", func(p *guest.Populated) { p.Of = 512 }, suites.Broken, "512 pages of 16384"},
	} {
		p := good()
		c.change(&p)
		check(t, c.name, judgePopulated("linux", args, p), c.status, c.says)
	}
}

func TestJudgeStale(t *testing.T) {
	args := guest.StaleArgs{Ways: []string{guest.WayNone}, Rounds: 3}
	for _, c := range []struct {
		name   string
		way    guest.StaleWay
		status suites.Status
		says   string
	}{
		{"sound", guest.StaleWay{Rounds: 3, Large: 1, Probes: 9, Denied: 9}, suites.Passed, ""},
		{"stale", guest.StaleWay{Rounds: 3, Large: 1, Probes: 9, Denied: 8, Hits: []guest.Hit{{CPU: 1, Page: 4, Probe: "store", SinceUS: 12}}}, suites.Failed, "on CPU 1, 12 us after"},
		{"lost", guest.StaleWay{Rounds: 3, Large: 1, Probes: 9, Denied: 9, Hits: []guest.Hit{{Probe: "load", Lost: true}}}, suites.Failed, "a load that is allowed"},
		{"small pages", guest.StaleWay{Rounds: 3, Large: 0.2, Probes: 9, Denied: 9}, suites.Failed, "20 %"},
		{"too few rounds", guest.StaleWay{Rounds: 2, Large: 1, Probes: 9, Denied: 9}, suites.Broken, "2 rounds of 3"},
		{"hits not told", guest.StaleWay{Rounds: 3, Large: 1, Probes: 9, Denied: 8}, suites.Broken, "no hit"},
	} {
		c.way.Way = guest.WayNone
		check(t, c.name, judgeStale(args, guest.Stale{Ways: []guest.StaleWay{c.way}}), c.status, c.says)
	}
	check(t, "none", judgeStale(args, guest.Stale{}), suites.Broken, "0 ways of 1")
}

func TestJudgeCycles(t *testing.T) {
	args := guest.CyclesArgs{Count: 2000, Samples: 5}
	grown := func(pages ...int64) (c guest.Cycles) {
		c.Large = 1
		for i, n := range pages {
			c.Samples = append(c.Samples, guest.CycleSample{Cycles: i * 500, Counters: guest.Counters{"nr_page_table_pages": n}})
		}
		return c
	}
	for _, c := range []struct {
		name   string
		saw    guest.Cycles
		status suites.Status
		says   string
	}{
		{"sound", grown(100, 120, 120, 119, 121), suites.Passed, ""},
		{"set up once", grown(100, 900, 900, 900, 900), suites.Passed, ""},
		{"something else, once", grown(100, 100, 100, 900, 900), suites.Passed, ""},
		{"leak", grown(100, 600, 1100, 1600, 2100), suites.Failed, "grew by 1000 pages in 1000 cycles"},
		{"too few samples", grown(100, 100), suites.Broken, "2 samples of 5"},
		{"nothing", guest.Cycles{}, suites.Broken, "0 samples of 5"},
	} {
		check(t, c.name, judgeCycles(args, c.saw), c.status, c.says)
	}
}

func TestJudgeRandom(t *testing.T) {
	check(t, "sound", judgeRandom(guest.Random{Scripts: 1, Ops: 80, Large: 1}), suites.Passed, "")
	check(t, "nothing done", judgeRandom(guest.Random{}), suites.Broken, "0 scripts")
	check(t, "small", judgeRandom(guest.Random{Scripts: 1, Ops: 80}), suites.Failed, "0 %")
}
