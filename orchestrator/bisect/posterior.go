package bisect

import "fmt"

// Search is a line with the evidence so far, under a model. It is a value to ask;
// new evidence makes a new one.
type Search struct {
	line     Line
	evidence *Evidence
	model    Model
	order    order
	prior    []float64 // of each commit as the culprit
	cells    cells
	asked    []asked
	weight   []float64 // posterior of each commit as the culprit; 0: the first was bad already
	none     float64   // posterior of no culprit
	group    []int     // of each commit: the commits of a group share their row
	rows     [][]float64
	mass     []float64 // posterior of each group; the last, as the last row, is no culprit
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
	s := &Search{line: line, evidence: e, model: m, order: newOrder(line), prior: line.prior(), asked: e.byCommit()}
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
	at := make([]int, len(s.asked))
	bad, good := make([][]float64, len(s.asked)), make([][]float64, len(s.asked))
	for i, a := range s.asked {
		at[i] = a.commit
		bad[i], good[i] = a.logLikelihoods(s.cells.p, s.cells.rho), a.logLikelihoods(s.cells.q, s.cells.rho)
	}
	s.group = s.order.partition(at)
	total := 0.0
	for _, w := range s.prior {
		total += w
	}
	logs := make([]float64, len(s.line)+1)
	s.rows = s.rows[:0:0]
	var known []float64 // log marginal likelihood of each group
	for i, g := range s.group {
		if g == len(known) {
			row, l := s.row(i, bad, good)
			s.rows, known = append(s.rows, row), append(known, l)
		}
		w := s.prior[i] / total * (1 - s.model.Before - s.model.None)
		if i == 0 {
			w = s.model.Before
		}
		logs[i] = w
	}
	row, l := s.row(-1, bad, good)
	s.rows, known = append(s.rows, row), append(known, l)
	logs[len(s.line)] = s.model.None
	likely, _ := normalize(known)
	s.mass = make([]float64, len(known))
	total = 0
	for i := range logs {
		g := len(known) - 1
		if i < len(s.group) {
			g = s.group[i]
		}
		logs[i] *= likely[g]
		total += logs[i]
	}
	for i := range logs {
		logs[i] /= total
	}
	s.weight, s.none = logs[:len(s.line)], logs[len(s.line)]
	for i, w := range s.weight {
		s.mass[s.group[i]] += w
	}
	s.mass[len(s.mass)-1] = s.none
}

// row weighs the cells if commit i is the culprit, -1 if there is none, and gives
// the log of the marginal likelihood.
func (s *Search) row(i int, bad, good [][]float64) ([]float64, float64) {
	c, n := s.cells, len(s.cells.rho)
	p, q := make([]float64, len(c.p)*n), make([]float64, len(c.q)*n)
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
		logs[j] = c.logPrior[j] + p[at.p*n+at.rho] + q[at.q*n+at.rho]
	}
	return normalize(logs)
}

// with is the search as it stands after more runs of a commit, each of a boot of
// its own.
func (s *Search) with(commit int, c Count) *Search {
	next := *s
	next.asked = nil
	found := false
	for _, a := range s.asked {
		if a.commit == commit {
			a.total, a.single, found = a.total.plus(c), a.single.plus(c), true
		}
		next.asked = append(next.asked, a)
	}
	if !found {
		next.asked = append(next.asked, asked{commit: commit, total: c, single: c})
	}
	next.weigh()
	return &next
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

// marginals are the posteriors of p, given that there is a culprit, and of q.
func (s *Search) marginals() (p, q []float64) {
	p, q = make([]float64, len(s.cells.p)), make([]float64, len(s.cells.q))
	for g, mass := range s.mass {
		for j, w := range s.rows[g] {
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
