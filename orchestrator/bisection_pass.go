package orchestrator

import (
	"context"
	"errors"
	"math"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// What a pass may spend on one search that verdicts could not end.
const (
	passRuns   = 300 // with builds counted as the runs that they cost
	passChance = .99
)

// Doubts lists the searches that a pass begins: of regressions that ended with a range
// since the case goes both ways, when the newer end fails more often than the case did
// before. The range may be wrong, too: it begins where the case was bad last.
func (p Planner) Doubts(v View) (out []Bisection) {
	at := places(v.Line)
	known := p.knownOf(v, judge(v))
	for _, r := range v.Regressions {
		bad, onLine := at[r.Bad]
		if _, ok := at[r.Good]; r.State != Ranged || r.Case == CaseBuild || !ok || !onLine {
			continue
		}
		n := v.Tallies[v.key(series{machine: r.Machine, name: r.Case}, r.Bad)]
		if !mixed(n) || !p.HasCase(r.Case) {
			continue
		}
		s := series{machine: r.Machine, name: r.Case}
		good := lastGood(p.statesOf(v, s, known), at[r.Good])
		if !worse(v, s, good, bad) {
			continue
		}
		out = append(out, Bisection{
			Upstream: v.Upstream, Target: v.Target, Machine: r.Machine, Case: r.Case, Good: v.Line[good].Hash, Bad: r.Bad,
			Asker: AskedByPass, Confidence: passChance,
		})
	}
	return out
}

// lastGood is the oldest good commit since a case was bad last.
func lastGood(line []bisect.Point, from int) int {
	oldest := from
	for i := from; i >= 0 && line[i].State != bisect.Bad; i-- {
		if line[i].State == bisect.Good {
			oldest = i
		}
	}
	return oldest
}

// worse says whether a case fails more often on a commit than it did up to a good one.
func worse(v View, s series, good, bad int) bool {
	var before verdict.History
	for _, c := range v.Line[:good+1] {
		n := v.Tallies[v.key(s, c.Hash)]
		before.Passed, before.Failed = before.Passed+float64(n.Passed), before.Failed+float64(n.Failed)
	}
	n := v.Tallies[v.key(s, v.Line[bad].Hash)]
	var boots []verdict.Boot
	for range n.Passed {
		boots = append(boots, verdict.Boot{Passed: 1})
	}
	for range n.Failed {
		boots = append(boots, verdict.Boot{Failed: 1})
	}
	return verdict.Weigh(boots, before).Verdict == verdict.Bad
}

// fixBoots is how many boots have to pass for a regression to be called fixed: as many
// as its culprit took, and of a case that fails now and then so many that they would
// all pass once in a hundred times if nothing had changed.
func (v View) fixBoots(s series, r Regression) int {
	at := places(v.Line)
	bad, ok := at[r.Bad]
	if !ok {
		return confirmBoots
	}
	var n verdict.Counts // of what is known to be bad
	for _, c := range v.Line[bad:] {
		if k := v.Tallies[v.key(s, c.Hash)]; k.Failed > 0 {
			n = n.Add(k)
		}
	}
	if !mixed(n) {
		return confirmBoots
	}
	p := float64(n.Failed) / float64(n.Failed+n.Passed)
	return max(confirmBoots, int(math.Ceil(math.Log(.01)/math.Log1p(-p))))
}

// searchDoubts begins and goes on with the searches of a pass; its caller holds the
// planning. One whose ends have left the line is over.
func (c *Conductor) searchDoubts(ctx context.Context, t pipeline.Target, v View) error {
	for _, b := range c.Planner.Doubts(v) {
		if _, err := c.Store.AddBisection(ctx, b); err != nil {
			return err
		}
	}
	running, err := c.Store.Bisections(ctx, v.Upstream, t.Name)
	if err != nil {
		return err
	}
	for _, b := range running {
		if b.Asker != AskedByPass {
			continue // who asked by hand has it in hand, or takes it up again
		}
		a, err := c.step(ctx, b, BisectOptions{Machines: 2, Runs: passRuns})
		switch {
		case errors.Is(err, ErrNotOnLine), errors.Is(err, ErrNotBefore), errors.Is(err, bisect.ErrSameBuild):
			c.Log.Warn("a search cannot go on", "case", b.Case, "target", b.Target, "err", err)
			b.Ending = EndingUntestable
			err = c.Store.EndBisection(ctx, b)
		case err == nil && a.Done():
			err = c.accuse(ctx, v, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// accuse takes over what a search found: a culprit that was confirmed locates the
// regression whose range it ended. Anything else leaves it as it is.
func (c *Conductor) accuse(ctx context.Context, v View, a Advance) error {
	b := a.Bisection
	c.Log.Info("bisection "+b.Ending, "case", b.Case, "target", b.Target, "first", b.First, "last", b.Last, "confidence", b.Posterior)
	at := places(v.Line)
	i := at[b.First]
	if b.Ending != bisect.Culprit.String() || !b.Verified || i == 0 {
		return nil
	}
	for _, r := range v.Regressions {
		if r.State != Ranged || r.Machine != b.Machine || r.Case != b.Case || r.Bad != b.Bad {
			continue
		}
		r.State, r.Culprit, r.Bad, r.Good, r.Confidence = Located, b.First, b.First, v.Line[i-1].Hash, b.Posterior
		regs := []Regression{r}
		if err := c.describe(ctx, v, regs); err != nil {
			return err
		}
		return c.Store.Apply(ctx, Decision{Upstream: v.Upstream, Target: v.Target, Rig: v.Rig.Digest, Regressions: regs})
	}
	return nil
}
