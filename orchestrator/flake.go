package orchestrator

import (
	"fmt"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// lostEnd says whether an end of a regression's range cannot be told any more:
// nothing is known of which it could be the opposite.
func lostEnd(at map[string]int, r Regression, line []bisect.Point) bool {
	for _, c := range []string{r.Good, r.Bad} {
		if i, ok := at[c]; ok && line[i].State == bisect.Untestable {
			return true
		}
	}
	return false
}

// knownFlaky says whether a standing regression of a case has a bad end that went
// both ways: it was told then.
func knownFlaky(v View, s series) bool {
	for _, r := range stored(v, s) {
		if r.State == Ranged && mixed(v.Tallies[v.key(s, r.Bad)]) {
			return true
		}
	}
	return false
}

// doubtful says whether a bad commit of a case that is known to be flaky needs more
// boots before anything is searched: it is likely to be the flake again.
func (p Planner) doubtful(v View, s series, bad string, known map[TallyKey]verdict.Verdict) bool {
	if s.name == CaseBuild || !knownFlaky(v, s) {
		return false
	}
	return v.told(s.machine, s.name, bad) < confirmBoots && p.runsLeft(v, s, v.Inputs[bad], confirmBoots, known)
}

func mixed(n verdict.Counts) bool { return n.Passed > 0 && n.Failed > 0 }

// maxFlakes bounds how many commits between the ends a note on a flake names.
const maxFlakes = 3

// flakes says what went both ways in the range of a regression that accuses
// nobody, with the counts of both ends; empty when nothing did.
func (v View) flakes(r Regression) string {
	at := places(v.Line)
	bad, ok := at[r.Bad]
	if !ok || r.Case == CaseBuild {
		return ""
	}
	good, hasGood := at[r.Good]
	if !hasGood {
		good = bad
	}
	tally := func(c string) verdict.Counts {
		return v.Tallies[TallyKey{Build: v.Inputs[c], Machine: r.Machine, Case: r.Case}]
	}
	count := func(c string) string {
		n := tally(c)
		return fmt.Sprintf("%d passed and %d failed at %s", n.Passed, n.Failed, c[:min(12, len(c))])
	}
	var between []string
	flaky := mixed(tally(r.Bad)) || hasGood && mixed(tally(r.Good))
	for i := good + 1; i < bad; i++ {
		if c := v.Line[i].Hash; mixed(tally(c)) && v.Inputs[c] != v.Inputs[v.Line[i-1].Hash] {
			flaky = true
			between = append(between, count(c))
		}
	}
	if !flaky {
		return ""
	}
	said := between[:min(len(between), maxFlakes)]
	if hasGood {
		said = append([]string{count(r.Good)}, said...)
	}
	return "flaky: " + strings.Join(append(said, count(r.Bad)), ", ")
}
