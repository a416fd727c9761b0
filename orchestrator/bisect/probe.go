package bisect

import "math"

// probe is "obtain the commit, run it until the first failure or that many times".
type probe struct {
	commit, runs int
	gain         float64 // bits, if the commit can be obtained
	cost         float64 // expected, in runs
	value        float64 // bits for each run of cost
}

// spread is the mass that a plan looks at commits in steps of: what lies between two
// of them decides too little to matter.
const spread = 1. / 128

// reach is a commit that may be probed, and how much of the mass of each group it
// contains.
type reach struct {
	commit int
	inside []float64
}

// reaches lists the commits that are worth a look: all that are built, and one of
// those that are not for each step of mass between, the likeliest to be obtained.
func (s *Search) reaches(ok []float64) (out []reach) {
	inside := make([]float64, len(s.mass))
	var best reach
	since, pending := 0.0, false
	flush := func() {
		if pending {
			out = append(out, best)
		}
		best, since, pending = reach{}, 0, false
	}
	for i, w := range s.weight {
		alone := s.line[i].State == Built
		if alone || since+w > spread {
			flush()
		}
		if s.order.below == nil {
			inside[s.group[i]] += w
		} else {
			clear(inside)
			s.order.each(i, func(a int) { inside[s.group[a]] += s.weight[a] })
		}
		since += w
		if ok[i] > 0 && (!pending || ok[i] >= ok[best.commit]) {
			best, pending = reach{i, append(best.inside[:0], inside...)}, true
		}
		if alone {
			flush()
		}
	}
	flush()
	return out
}

// outlook is what a number of runs of a commit is expected to say, for each group of
// commits that the culprit may be in: the chance of a failure, its entropy in
// bits, and the runs until then.
type outlook struct{ fails, noise, runs []float64 }

// outlooks gives the outlook of commits that have the bug and of those that have
// not, for each number of repeats.
func (s *Search) outlooks() (bad, good []outlook) {
	n := len(s.cells.rho)
	np, nq := make([][]float64, len(s.rows)), make([][]float64, len(s.rows))
	for g, row := range s.rows {
		np[g], nq[g] = make([]float64, len(s.cells.p)*n), make([]float64, len(s.cells.q)*n)
		for j, w := range row {
			at := s.cells.at[j]
			np[g][at.p*n+at.rho] += w
			nq[g][at.q*n+at.rho] += w
		}
	}
	return s.look(s.cells.p, np), s.look(s.cells.q, nq)
}

func (s *Search) look(values []float64, weights [][]float64) (out []outlook) {
	n := len(values) * len(s.cells.rho)
	pass, runs := make([]float64, n), make([]float64, n)
	for _, m := range s.model.Repeats {
		for i, v := range values {
			for k, rho := range s.cells.rho {
				j := i*len(s.cells.rho) + k
				pass[j], runs[j] = survival(v, rho, s.model.PerBoot, m)
			}
		}
		o := outlook{make([]float64, len(weights)), make([]float64, len(weights)), make([]float64, len(weights))}
		for g, w := range weights {
			alive := 0.0
			for j, x := range w {
				alive += x * pass[j]
				o.runs[g] += x * runs[j]
			}
			o.fails[g] = max(0, 1-alive)
			o.noise[g] = entropy(o.fails[g])
		}
		out = append(out, o)
	}
	return out
}

// survival is the chance that so many runs of a commit all pass, when a run fails
// with chance v and its boot decides a share rho of that, and the expected number of
// runs until the first failure or the last.
func survival(v, rho float64, perBoot, runs int) (alive, expected float64) {
	if rho <= 0 {
		alive = math.Exp(float64(runs) * math.Log1p(-v))
		if v < 1e-6 {
			return alive, float64(runs)
		}
		return alive, (1 - alive) / v
	}
	alive = 1
	s := (1 - min(rho, 1-1e-9)) / rho
	for t := range runs {
		// Passes of the same boot speak for the next one.
		expected += alive
		k := float64(t % perBoot)
		alive *= ((1-v)*s + k) / (s + k)
	}
	return alive, expected
}

// entropy of an event of chance x, in bits.
func entropy(x float64) float64 {
	if x <= 0 || x >= 1 {
		return 0
	}
	return -(x*math.Log(x) + (1-x)*math.Log1p(-x)) / math.Ln2
}
