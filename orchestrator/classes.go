package orchestrator

import (
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// Merged is a view in which builds that made the same image are one, under the id
// of the first on the line: what differs in their inputs made no difference, so
// evidence about one is evidence about all, and none of them can be the culprit
// after another.
func (v View) Merged() View {
	first := map[string]string{} // image → build
	same := map[string]string{}  // build → the first of its image
	for _, c := range v.Line {
		b := v.Builds[v.Inputs[c.Hash]]
		if b.Status != suites.Passed {
			continue
		}
		if _, known := first[b.Image]; !known {
			first[b.Image] = b.ID
		}
		if first[b.Image] != b.ID {
			same[b.ID] = first[b.Image]
		}
	}
	if len(same) == 0 {
		return v
	}
	of := func(build string) string {
		if other, ok := same[build]; ok {
			return other
		}
		return build
	}
	out := v
	out.Inputs = make(map[string]string, len(v.Inputs))
	for c, b := range v.Inputs {
		out.Inputs[c] = of(b)
	}
	out.Tallies = make(map[TallyKey]verdict.Counts, len(v.Tallies))
	for k, n := range v.Tallies {
		k.Build = of(k.Build)
		out.Tallies[k] = out.Tallies[k].Add(n)
	}
	out.Runs = make(map[RunKey]RunCounts, len(v.Runs))
	for k, n := range v.Runs {
		k.Build = of(k.Build)
		m := out.Runs[k]
		out.Runs[k] = RunCounts{
			Finished: m.Finished + n.Finished, Broken: m.Broken + n.Broken, Recent: m.Recent + n.Recent,
			Planned: m.Planned + n.Planned, Dropped: m.Dropped + n.Dropped,
		}
	}
	return out
}
