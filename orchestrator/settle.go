package orchestrator

import "github.com/headwatch/headwatch/orchestrator/bisect"

// fixedBy is the oldest commit newer than a regression's bad end that is good, and
// whether that is proven: a case by as many cold boots as its culprit was, a build
// by one. Empty: none is good, or none can be proven to be.
func (p Planner) fixedBy(v View, s series, r Regression, line []bisect.Point, f *findings) (commit string, proven bool) {
	bad, ok := f.at[r.Bad]
	if !ok {
		return "", false
	}
	need := v.fixBoots(s, r)
	for i := bad + 1; i < len(line); i++ {
		if line[i].State != bisect.Good {
			continue
		}
		switch commit = v.Line[i].Hash; {
		case s.name == CaseBuild, v.Tallies[v.key(s, commit)].Passed >= need:
			return commit, true
		case p.runsLeft(v, s, line[i].Build, need, f.known):
			return commit, false
		}
	}
	return "", false
}

// toConfirm says how many results each case needs whose regression is about to be
// laid at somebody's door, those whose range is down to one step, or to be called
// fixed, or may be a flake that is known.
func (f findings) toConfirm(v View) map[TallyKey]int {
	out := map[TallyKey]int{}
	for k, n := range f.prove {
		out[k] = n
	}
	for _, r := range f.open {
		if r.Case == CaseBuild || f.at[r.Bad] != f.at[r.Good]+1 {
			continue
		}
		need := v.boots(r)
		for _, c := range []string{r.Good, r.Bad} {
			k := TallyKey{Build: v.Inputs[c], Machine: r.Machine, Case: r.Case}
			out[k] = max(out[k], need)
		}
	}
	return out
}
