package bisect

import (
	"fmt"
	"math"
)

// Search is a line with the evidence so far, under a model. It is a value to ask;
// new evidence makes a new one.
type Search struct {
	line     Line
	evidence *Evidence
	model    Model
	order    order
	cells    cells
	asked    []asked
	weight   []float64 // posterior of each commit as the culprit; 0: the first was bad already
	none     float64   // posterior of no culprit
	group    []int     // of each commit: the commits of a group share their row
	rows     []row     // the last is that of no culprit
}

// row is the posterior of p, q and overdispersion if the culprit lies in one group
// of commits. logs are unnormalized.
type row struct {
	weight []float64 // of each cell
}

// NewSearch weighs the evidence.
func NewSearch(line Line, e *Evidence, m Model) (*Search, error) {
	m = m.filled()
	if err := line.check(); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	s := &Search{line: line, evidence: e, model: m, order: newOrder(line), asked: e.byCommit()}
	several := m.PerBoot > 1
	for _, a := range s.asked {
		if a.commit >= len(line) {
			return nil, fmt.Errorf("observation of commit %d: the line has %d", a.commit, len(line))
		}
		several = several || len(a.several) > 0
	}
	s.cells = m.cells(several)
	if len(s.cells.at) == 0 {
		return nil, fmt.Errorf("no p of the model is above its q: a bad commit has to fail more often than a good one")
	}
	s.weigh()
	return s, nil
}

// weigh computes the posterior: given the culprit, runs at or after it depend on p
// only and runs before it on q only, so that evidence becomes weight.
func (s *Search) weigh() {
	c := s.cells
	bad, good := make([][]float64, len(s.asked)), make([][]float64, len(s.asked))
	for i, a := range s.asked {
		bad[i], good[i] = make([]float64, len(c.p)*len(c.rho)), make([]float64, len(c.q)*len(c.rho))
		for k, rho := range c.rho {
			for j, p := range c.p {
				bad[i][j*len(c.rho)+k] = a.logLikelihood(p, rho)
			}
			for j, q := range c.q {
				good[i][j*len(c.rho)+k] = a.logLikelihood(q, rho)
			}
		}
	}
	logs := make([]float64, len(s.line)+1)
	prior := s.line.prior()
	total := 0.0
	for _, w := range prior {
		total += w
	}
	s.group = s.groups()
	var known []float64 // log marginal likelihood of each group
	for i := range s.line {
		g := s.group[i]
		if g == len(known) {
			r, l := s.row(i, bad, good)
			s.rows, known = append(s.rows, r), append(known, l)
		}
		w := prior[i] / total * (1 - s.model.Before - s.model.None)
		if i == 0 {
			w = s.model.Before
		}
		logs[i] = math.Log(w) + known[g]
	}
	r, l := s.row(-1, bad, good)
	s.rows = append(s.rows, r)
	logs[len(s.line)] = math.Log(s.model.None) + l
	w, _ := normalize(logs)
	s.weight, s.none = w[:len(s.line)], w[len(s.line)]
}

// groups numbers the commits by which of the asked ones contain them, in the order
// of their first members.
func (s *Search) groups() []int {
	var at []int
	for _, a := range s.asked {
		at = append(at, a.commit)
	}
	out, number := make([]int, len(s.line)), map[uint64]int{}
	for i, sig := range s.order.signatures(at) {
		g, ok := number[sig]
		if !ok {
			g = len(number)
			number[sig] = g
		}
		out[i] = g
	}
	return out
}

// row weighs the cells if commit i is the culprit, -1 if there is none, and gives
// the log of the marginal likelihood.
func (s *Search) row(i int, bad, good [][]float64) (row, float64) {
	c := s.cells
	p, q := make([]float64, len(c.p)*len(c.rho)), make([]float64, len(c.q)*len(c.rho))
	for k, a := range s.asked {
		if i >= 0 && s.order.contains(a.commit, i) {
			for j, l := range bad[k] {
				p[j] += l
			}
		} else {
			for j, l := range good[k] {
				q[j] += l
			}
		}
	}
	logs := make([]float64, len(c.at))
	for j, at := range c.at {
		logs[j] = c.logPrior[j] + p[at.p*len(c.rho)+at.rho] + q[at.q*len(c.rho)+at.rho]
	}
	w, total := normalize(logs)
	return row{w}, total
}

// Posterior is what is believed of the line.
type Posterior struct {
	Mass   []float64 // of each commit but the first: the chance that it is the culprit
	Before float64   // that the first commit was bad already
	None   float64   // that what fails fails everywhere
	P, Q   Chance    // how often a bad commit fails, and a good one
}

// Chance is an unknown chance: its mean, and the limits that it is below and above
// with 5 % each.
type Chance struct{ Mean, Low, High float64 }

// Posterior gives what is believed now.
func (s *Search) Posterior() Posterior {
	mass := append([]float64{}, s.weight...)
	mass[0] = 0
	p, q := s.marginals()
	return Posterior{Mass: mass, Before: s.weight[0], None: s.none, P: chance(s.cells.p, p), Q: chance(s.cells.q, q)}
}

// groupMass is the posterior of each group of commits; the last is no culprit.
func (s *Search) groupMass() []float64 {
	out := make([]float64, len(s.rows))
	for i, w := range s.weight {
		out[s.group[i]] += w
	}
	out[len(out)-1] = s.none
	return out
}

// marginals are the posteriors of p, given that there is a culprit, and of q.
func (s *Search) marginals() (p, q []float64) {
	p, q = make([]float64, len(s.cells.p)), make([]float64, len(s.cells.q))
	for g, mass := range s.groupMass() {
		for j, w := range s.rows[g].weight {
			if g < len(s.rows)-1 {
				p[s.cells.at[j].p] += mass * w
			}
			q[s.cells.at[j].q] += mass * w
		}
	}
	return p, q
}

// chance summarizes weights over ascending values.
func chance(values, weights []float64) (c Chance) {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	if total == 0 {
		return Chance{Low: values[0], High: values[len(values)-1]}
	}
	below := 0.0
	c.Low, c.High = values[len(values)-1], values[len(values)-1]
	lowDone, highDone := false, false
	for i, w := range weights {
		c.Mean += values[i] * w / total
		below += w / total
		if !lowDone && below > .05 {
			c.Low, lowDone = values[i], true
		}
		if !highDone && below >= .95 {
			c.High, highDone = values[i], true
		}
	}
	return c
}
