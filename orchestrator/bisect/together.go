package bisect

import (
	"math"
	"slices"
)

// maxTogether bounds how many commits are asked at the same time: weighing what they
// tell together takes time in proportion to two to that power.
const maxTogether = 4

// worthwhile is what a further commit has to tell, in bits.
const worthwhile = .02

// together adds commits to a probe for machines that would idle: each the one that
// tells most beyond the others, for each run of what all cost. All make as many runs.
func (s *Search) together(first probe, ok []float64, machines int) []probe {
	chosen, at := []probe{first}, []int{first.commit}
	if machines < 2 {
		return chosen
	}
	reaches := s.reaches(ok)
	atoms := s.atoms(reaches, first)
	gain, cost := s.joint(at, atoms), first.cost
	for len(chosen) < min(machines, maxTogether) {
		best, bestGain, value := -1, 0.0, gain/cost
		for _, r := range reaches {
			if slices.Contains(at, r.commit) {
				continue
			}
			g := s.joint(append(at[:len(at):len(at)], r.commit), atoms)
			if v := g / (cost + s.buildCost(r.commit)); v > value && g > gain+worthwhile {
				best, bestGain, value = r.commit, g, v
			}
		}
		if best < 0 {
			break
		}
		at = append(at, best)
		chosen = append(chosen, probe{commit: best, runs: first.runs})
		gain, cost = bestGain, cost+s.buildCost(best)
	}
	return chosen
}

// atom is a set of commits that no probe which is worth a look tells apart.
type atom struct {
	member    int
	mass      float64
	bad, good float64 // that all runs of a commit that has the bug pass, and of one that has not
}

func (s *Search) atoms(reaches []reach, p probe) []atom {
	at := []int{p.commit}
	for _, r := range reaches {
		at = append(at, r.commit)
	}
	for _, a := range s.asked {
		at = append(at, a.commit)
	}
	one := *s
	one.model.Repeats = []int{p.runs}
	bad, good := one.outlooks()
	out := []atom{{member: -1, mass: s.none, good: 1 - good[0].fails[len(s.mass)-1]}}
	index := map[int]int{}
	for i, k := range s.order.partition(at) {
		j, seen := index[k]
		if !seen {
			j = len(out)
			index[k] = j
			g := s.group[i]
			out = append(out, atom{member: i, bad: 1 - bad[0].fails[g], good: 1 - good[0].fails[g]})
		}
		out[j].mass += s.weight[i]
	}
	return out
}

// joint is what probes of commits tell together, in bits: the entropy of all their
// outcomes, less what is left of it when the culprit is known. Given the culprit,
// outcomes are taken to be independent.
func (s *Search) joint(commits []int, atoms []atom) float64 {
	outcomes := make([]float64, 1<<len(commits))
	all := make([]float64, len(outcomes))
	noise := 0.0
	for _, a := range atoms {
		all[0] = a.mass
		for k, c := range commits {
			alive := a.good
			if a.member >= 0 && s.order.contains(c, a.member) {
				alive = a.bad
			}
			for o := range 1 << k {
				all[o|1<<k] = all[o] * (1 - alive)
				all[o] *= alive
			}
			noise += a.mass * entropy(alive)
		}
		for o, x := range all {
			outcomes[o] += x
		}
	}
	total := 0.0
	for _, x := range outcomes {
		if x > 0 {
			total -= x * math.Log2(x)
		}
	}
	return total - noise
}
