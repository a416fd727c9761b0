package bisect

import "math"

const (
	// buildShare is the share of a build's cost that a choice counts: the image
	// serves runs that are chosen later, too. Measured: docs/bisect.md.
	buildShare = .3
	// leading is the mass from which the likeliest commit is worth proving.
	leading = .5
	// noGain is what a probe has to tell, in bits, to be worth anything.
	noGain = 1e-6
	// nearly is how close a larger number of runs has to come to the best one's value
	// to be asked for in its place: fewer plans, and fuller machines.
	nearly = .97
)

// best is the probe that tells most for each run of cost, at most so many runs of
// some commit; the zero probe when none tells anything.
func (s *Search) best(ok []float64) (best probe) {
	bad, good := s.outlooks()
	reaches := s.reaches(ok)
	lead := s.leaders()
	diff := outlook{make([]float64, len(s.mass)), make([]float64, len(s.mass)), make([]float64, len(s.mass))}
	var all []probe
	for k, m := range s.model.Repeats {
		b, g := bad[k], good[k]
		fails, noise, runs := 0., 0., 0.
		for x, w := range s.mass {
			fails, noise, runs = fails+w*g.fails[x], noise+w*g.noise[x], runs+w*g.runs[x]
			diff.fails[x], diff.noise[x], diff.runs[x] = b.fails[x]-g.fails[x], b.noise[x]-g.noise[x], b.runs[x]-g.runs[x]
		}
		for _, r := range reaches {
			f, h, n := fails, noise, runs
			for x, w := range r.inside {
				f, h, n = f+w*diff.fails[x], h+w*diff.noise[x], n+w*diff.runs[x]
			}
			p := probe{commit: r.commit, runs: m, gain: entropy(f) - h}
			for _, i := range lead {
				own := g.fails[s.group[i]]
				if s.order.contains(r.commit, i) {
					own = b.fails[s.group[i]]
				}
				p.gain += proof(s.weight[i], own, f, s.model.Confidence)
			}
			chance := ok[r.commit]
			p.cost = s.buildCost(r.commit) + chance*n/s.yield(r.commit)
			p.value = chance * p.gain / (s.buildCost(r.commit)*buildShare + chance*n/s.yield(r.commit))
			if p.gain <= noGain {
				continue
			}
			if p.value > best.value {
				best = p
			}
			all = append(all, p)
		}
	}
	least := nearly * best.value
	for _, p := range all {
		if p.commit == best.commit && p.runs > best.runs && p.value >= least {
			best = p
		}
	}
	return best
}

// buildCost of a commit, in runs; 0 when it is built.
func (s *Search) buildCost(i int) float64 {
	switch c := s.line[i]; {
	case c.State == Built:
		return 0
	case c.Cost > 0:
		return c.Cost
	}
	return s.model.BuildCost
}

// leaders lists the commits that are likelier than all others together.
func (s *Search) leaders() (out []int) {
	for i, w := range s.weight {
		if w > leading {
			out = append(out, i)
		}
	}
	return out
}

// proof is what a probe tells, in bits, beyond the information in it when the aim is
// to be sure of one commit of weight w: the divergence from all others is taken in
// place of that from everything, as far as it is still needed. own is the chance of
// a failure if the commit is the culprit, all that chance over everything. Near the
// end of a search information alone prefers what would overturn it. After Naghshvar
// and Javidi, Active sequential hypothesis testing (2013): the extrinsic
// Jensen-Shannon divergence.
func proof(w, own, all, confidence float64) float64 {
	if w >= confidence {
		return 0
	}
	hold := func(x float64) float64 { return min(max(x, chanceFloor), 1-chanceFloor) }
	others := hold((all - w*own) / (1 - w))
	own, all = hold(own), hold(all)
	need := logOdds(confidence) - logOdds(w)
	from := own*min(need, math.Log(own/others)) + (1-own)*min(need, math.Log((1-own)/(1-others)))
	known := own*math.Log(own/all) + (1-own)*math.Log((1-own)/(1-all))
	return w * (from - known) / math.Ln2
}

func logOdds(x float64) float64 { return math.Log(x / (1 - x)) }
