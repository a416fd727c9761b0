package orchestrator

import (
	"context"
	"fmt"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// press puts a machine under pressure when the case asks for it, and says in the
// result's output what was done, until the returned function is called. A case that
// gets none, or not all of it, is weaker and not wrong: a race that it finds is one,
// and that it finds none proves nothing in either case.
//
// The seed follows from the run's, so who does the run again does this again, on a
// host with as many CPUs.
func (e Execution) press(ctx context.Context, m runners.Machine, c suites.Case, res *suites.Result) (release func()) {
	if !c.Pressure {
		return func() {}
	}
	p, ok := m.(runners.Presser)
	if !ok {
		res.Output += "pressure: none: this machine knows no pressure\n"
		return func() {}
	}
	seed := random(e.Seed, "pressure "+res.Case).Uint64()
	stop, err := p.Pressure(ctx, seed)
	if err != nil {
		res.Output += fmt.Sprintf("pressure: none: %v\n", err)
		return func() {}
	}
	res.Output += fmt.Sprintf("pressure: seed %d\n", seed)
	return func() {
		if err := stop(); err != nil {
			res.Output += fmt.Sprintf("pressure: not all of it: %v\n", err)
		}
	}
}

// judgeTime takes back that a case failed which judges time, when its host was
// overloaded meanwhile. The host is asked only then: that is a millisecond.
func judgeTime(c suites.Case, res suites.Result, load func() suites.Load) suites.Result {
	if !c.Timed || res.Status != suites.Failed {
		return res
	}
	if l := load(); l.Overloaded() {
		res.Status, res.Reason = suites.Broken, fmt.Sprintf("%v: %s", l, res.Reason)
	}
	return res
}
