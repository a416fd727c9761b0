package orchestrator

import (
	"cmp"
	"slices"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/suites"
)

// What the rig broke is tried again, but never at once: whatever was in the way, a
// full disk or a server that is down, is likely to be there still. Everything else
// that there is to do comes first; and a pass gives new tries, to the newest commit
// and to what a search could not tell.

// againAtAPass bounds how many commits of one range a pass tries again that none
// before could test.
const againAtAPass = 3

// deferred says whether a build that the rig broke has tries left at this pass.
func (v View) deferred(build string) bool {
	n := v.BuildTries[build].Futile
	return v.Builds[build].Status == suites.Broken && n > 0 && n < buildTries
}

// underWay says whether runs that were planned have not ended.
func (v View) underWay() bool {
	for _, n := range v.Runs {
		if n.Finished < n.Planned {
			return true
		}
	}
	return false
}

// leastTried picks those jobs whose builds were tried least at this pass, so that
// none is tried again before all the others were.
func leastTried(v View, jobs []Job) []Job {
	least := 0
	for i, j := range jobs {
		if n := v.BuildTries[j.Build].Futile; i == 0 || n < least {
			least = n
		}
	}
	return slices.DeleteFunc(jobs, func(j Job) bool { return v.BuildTries[j.Build].Futile > least })
}

// Again lists what a new pass should select anew: commits in the range of a search,
// or of one that ended without a culprit, of which only the rig kept us from
// telling anything. The least tried come first, and then those in the middle.
func (p Planner) Again(v View) []Selection {
	cells := p.cells(v)
	v.excuse(p.reviewKnown(v))
	known := p.knownOf(v, judge(v))
	at := places(v.Line)
	var sel []Selection
	for _, s := range p.allSeries(v, cells) {
		for _, r := range stored(v, s) {
			lo, okGood := at[r.Good]
			hi, okBad := at[r.Bad]
			if r.State != Suspected && r.State != Ranged || !okGood || !okBad {
				continue
			}
			line := p.statesOf(v, s, known)
			for _, i := range worthAgain(v, s, line, lo, hi) {
				sel = append(sel, Selection{Commit: v.Line[i].Hash, Target: v.Target, Reason: BySearch, Upto: s.upto()})
			}
		}
	}
	return sel
}

// worthAgain lists the places from lo to hi of builds that the rig broke.
func worthAgain(v View, s series, line []bisect.Point, lo, hi int) []int {
	tries := map[string]int{} // of builds of which the runs broke
	for k, n := range v.Runs {
		if k.Machine == s.machine && n.Recent >= brokenRuns {
			tries[k.Build] += n.Broken
		}
	}
	var places []int
	seen := map[string]bool{}
	for i := lo; i <= hi; i++ {
		id := line[i].Build
		if seen[id] {
			continue
		}
		seen[id] = true
		between := i > lo && i < hi && line[i].State == bisect.Untestable
		switch got := v.Builds[id].Status; {
		case between && (got == suites.Broken || got == suites.Skipped):
			tries[id] = v.BuildTries[id].Done
			places = append(places, i)
		case (between || i == lo || i == hi) && tries[id] > 0: // an end's proof may have broken
			places = append(places, i)
		}
	}
	middle := lo + hi
	slices.SortFunc(places, func(a, b int) int {
		return cmp.Or(cmp.Compare(tries[line[a].Build], tries[line[b].Build]), cmp.Compare(abs(2*a-middle), abs(2*b-middle)), cmp.Compare(a, b))
	})
	return places[:min(len(places), againAtAPass)]
}

func abs(n int) int { return max(n, -n) }
