package bisect

import (
	"math"
)

// probe is "obtain the commit, run it until the first failure or that many times".
type probe struct {
	commit, runs int
	gain         float64 // bits about the culprit, if it can be obtained
	cost         float64 // expected, in runs
	value        float64 // bits for each run of cost
}

// survival is the chance that the first t runs of a commit all pass, for t from 0 to
// most, when a run fails with chance v and its boot decides a share rho of that.
func survival(v, rho float64, perBoot, most int) []float64 {
	out := make([]float64, most+1)
	out[0] = 1
	for t := range most {
		// Passes of the same boot speak for the next one.
		chance := 1 - v
		if rho > 0 {
			s, k := (1-min(rho, 1-1e-9))/rho, float64(t%perBoot)
			chance = ((1-v)*s + k) / (s + k)
		}
		out[t+1] = out[t] * chance
	}
	return out
}

// outlook is what runs of a commit are expected to say, for each group of commits
// that the culprit may be in: fails is the chance of a failure within some number of
// runs, runs their expected number, noise the entropy of that failure in bits.
type outlook struct{ fails, noise, runs, inner []float64 }

// outlooks gives the outlook for each number of repeats, of commits that have the
// bug and of those that have not.
func (s *Search) outlooks() (bad, good []outlook) {
	c, repeats := s.cells, s.model.Repeats
	most := repeats[len(repeats)-1]
	table := func(values []float64) (alive, runs [][]float64) {
		for _, v := range values {
			for _, rho := range c.rho {
				a := survival(v, rho, s.model.PerBoot, most)
				r := make([]float64, most+1)
				for t := range most {
					r[t+1] = r[t] + a[t]
				}
				alive, runs = append(alive, a), append(runs, r)
			}
		}
		return alive, runs
	}
	pAlive, pRuns := table(c.p)
	qAlive, qRuns := table(c.q)
	np, nq := make([][]float64, len(s.rows)), make([][]float64, len(s.rows))
	for g, r := range s.rows {
		np[g], nq[g] = make([]float64, len(pAlive)), make([]float64, len(qAlive))
		for j, w := range r.weight {
			at := c.at[j]
			np[g][at.p*len(c.rho)+at.rho] += w
			nq[g][at.q*len(c.rho)+at.rho] += w
		}
	}
	look := func(weights, alive, runs [][]float64, m int) (o outlook) {
		ent := make([]float64, len(alive))
		for j := range ent {
			ent[j] = entropy(1 - alive[j][m])
		}
		for _, w := range weights {
			pass, n, inner := 0.0, 0.0, 0.0
			for j, x := range w {
				pass += x * alive[j][m]
				n += x * runs[j][m]
				inner += x * ent[j]
			}
			o.inner = append(o.inner, inner)
			fail := max(0, 1-pass)
			o.fails, o.noise, o.runs = append(o.fails, fail), append(o.noise, entropy(fail)), append(o.runs, n)
		}
		return o
	}
	for _, m := range repeats {
		bad, good = append(bad, look(np, pAlive, pRuns, m)), append(good, look(nq, qAlive, qRuns, m))
	}
	return bad, good
}

// entropy of an event of chance x, in bits.
func entropy(x float64) float64 {
	if x <= 0 || x >= 1 {
		return 0
	}
	return -(x*math.Log(x) + (1-x)*math.Log1p(-x)) / math.Ln2
}
