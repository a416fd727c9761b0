package orchestrator

import "github.com/headwatch/headwatch/orchestrator/bisect"

// fixedBy is the oldest commit known good that is newer than a regression's bad
// end; empty: none is.
func fixedBy(v View, r Regression, line []bisect.Point, at map[string]int) string {
	bad, ok := at[r.Bad]
	if !ok {
		return ""
	}
	for i := bad + 1; i < len(line); i++ {
		if line[i].State == bisect.Good {
			return v.Line[i].Hash
		}
	}
	return ""
}

// toConfirm says how many results each case needs whose regression is about to be
// laid at somebody's door, those whose range is down to one step, or that may be a
// flake that is known.
func (f findings) toConfirm(v View) map[TallyKey]int {
	out := map[TallyKey]int{}
	for k := range f.prove {
		out[k] = confirmBoots
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
