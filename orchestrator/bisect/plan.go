package bisect

import "math"

// Goal is what a plan is for. The zero value is invalid.
type Goal int

// What a plan is for.
const (
	_         Goal = iota
	Reproduce      // see the bad end fail, and how often it does
	Narrow         // tell the candidates apart
	Confirm        // prove a culprit by itself, its parent and its revert
	Stop           // nothing is left to do: the plan's Answer is final
)

// Ask is one commit to obtain and run.
type Ask struct {
	Commit   int
	Reverted bool // not the commit itself: the bad end without its change
	Runs     int  // until the first failure, or so many
	Machines int  // that may share them: clones of one image
}

// Plan is what to do next. The asks can be worked on at the same time; whoever has
// an answer to one asks again.
type Plan struct {
	Goal  Goal
	Asks  []Ask
	Ahead []int   // commits worth building meanwhile, the one that passes would want first
	Cost  float64 // of the asks, at most
	Answer
}

// Options is what a plan has to work with.
type Options struct {
	Machines int     // 0 means 1
	Builders int     // how many builds can be made ahead while machines run
	Spent    float64 // runs and builds so far, in runs
	Budget   float64 // 0: no limit
	NoRevert bool    // the culprit's change cannot be taken back
}

// Plan says what to do next.
func (s *Search) Plan(o Options) Plan {
	o.Machines = max(1, o.Machines)
	ok := s.obtainable()
	c := s.classes(ok)
	p := Plan{Goal: Narrow, Answer: s.answer(c)}
	wanted, known := s.reproduction()
	switch {
	case !known:
		p.Goal = Reproduce
		p.Asks = []Ask{{Commit: len(s.line) - 1, Runs: max(wanted, o.Machines), Machines: o.Machines}}
	case p.Ending == 0:
		s.narrow(&p, ok, c, o)
	case p.Ending == Culprit || p.Ending == Range:
		s.confirm(&p, c, o)
	default:
		p.Goal = Stop
	}
	p.within(s, c, o)
	return p
}

// within cuts a plan to what may still be spent, and tells what it costs.
func (p *Plan) within(s *Search, c classes, o Options) {
	asks := p.Asks
	p.Asks = nil
	for _, a := range asks {
		build := 0.0
		if !a.Reverted {
			build = s.buildCost(a.Commit)
		}
		if o.Budget > 0 {
			a.Runs = int(min(float64(a.Runs), o.Budget-o.Spent-p.Cost-build))
		}
		if a.Runs > 0 {
			p.Asks = append(p.Asks, a)
			p.Cost += build + float64(a.Runs)
		}
	}
	if len(asks) > 0 && len(p.Asks) == 0 {
		p.Goal, p.Ahead = Stop, nil
		if p.Ending == 0 {
			p.Answer = s.open(c, OverBudget)
		}
	}
}

// narrow chooses what tells the candidates apart.
func (s *Search) narrow(p *Plan, ok []float64, c classes, o Options) {
	first := s.best(ok)
	if first.value == 0 {
		p.Answer = s.open(c, Range)
		s.confirm(p, c, o)
		return
	}
	first.runs = s.trimmed(first, c)
	probes := []probe{first}
	if s.failing() >= manyCommits {
		probes = s.together(first, ok, o.Machines)
	}
	for _, x := range probes {
		share := max(1, o.Machines/len(probes))
		p.Asks = append(p.Asks, Ask{Commit: x.commit, Runs: max(x.runs, share), Machines: share})
	}
	p.Ahead = s.ahead(probes, o.Builders)
}

// confirm asks for what still has to be seen of an answer.
func (s *Search) confirm(p *Plan, c classes, o Options) {
	p.Goal, p.Verification = Confirm, s.verify(p.Answer, c, o)
	if p.Asks = p.Verification.asks(o.Machines); len(p.Asks) == 0 {
		p.Goal = Stop
	}
}

// manyCommits is the mean of p from which several machines ask several commits, and
// not one.
const manyCommits = .5

func (s *Search) failing() float64 {
	p, _ := s.marginals()
	return chance(s.cells.p, p).Mean
}

// trimmed is how many of a probe's runs are needed if all pass: no more than would
// end the search.
func (s *Search) trimmed(p probe, c classes) int {
	ends := func(runs int) bool {
		next := s.with(p.commit, Count{Passed: runs})
		clear(c.mass)
		for i, k := range c.number {
			if i > 0 {
				c.mass[k] += next.weight[i]
			}
		}
		return c.mass[c.likeliest()] >= s.model.Confidence
	}
	if c.mass[c.likeliest()] < leading {
		return p.runs
	}
	c.mass = append([]float64{}, c.mass...)
	if !ends(p.runs) {
		return p.runs
	}
	lo, hi := 0, p.runs // hi ends it
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; ends(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// ahead lists what the next plans would build, after passes and after a failure, at
// most so many.
func (s *Search) ahead(probes []probe, most int) (out []int) {
	if most < 1 {
		return nil
	}
	taken := map[int]bool{}
	built := *s
	built.line = append(Line{}, s.line...)
	for _, p := range probes {
		taken[p.commit] = true
		built.line[p.commit].State = Built
	}
	first := probes[0]
	for _, n := range []Count{{Passed: first.runs}, {Failed: 1}} {
		next := built.with(first.commit, n)
		if p := next.best(next.obtainable()); p.value > 0 && s.line[p.commit].State == NotBuilt && !taken[p.commit] {
			taken[p.commit] = true
			out = append(out, p.commit)
		}
	}
	return out[:min(most, len(out))]
}

// reproduction says how many runs of the bad end are still wanted before anything
// else, and whether it is over: enough failures to know how often it fails, or so
// many runs without that it does not. Each failure of a bug that fails often costs
// little beside a build, so more of them are seen.
func (s *Search) reproduction() (runs int, ended bool) {
	if s.model.Reproduce < 0 || len(s.model.P.Values) == 1 {
		return 0, true // nothing to learn
	}
	n := Count{}
	for _, a := range s.asked {
		if a.commit == len(s.line)-1 {
			n = a.total
		}
	}
	ran := n.Failed + n.Passed
	limit := s.model.patience()
	switch {
	case n.Failed >= manyFailures, n.Failed >= s.model.Reproduce && float64(ran) >= s.model.BuildCost, ran+n.Other >= limit:
		return 0, true
	case n.Failed >= s.model.Reproduce:
		return 1, false
	}
	return limit - ran - n.Other, false
}

// manyFailures of the bad end are enough, however cheap one is.
const manyFailures = 5

// unseen is the share of bugs that may be given up for not showing.
const unseen = .01

// patience is after how many runs without a failure a bad end does not fail: so few
// would not, at the lowest p of the model.
func (m Model) patience() int {
	for i, v := range m.P.Values {
		if m.P.Weights[i] > 0 && v > 0 {
			return int(min(max(1, math.Ceil(math.Log(unseen)/math.Log1p(-clamp(v)))), 10_000))
		}
	}
	return 10_000
}
