package orchestrator

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// defaultCaseTimeout bounds a case that does not say how long it may take.
const defaultCaseTimeout = time.Minute

// one runs a case, if the machine has what it asks for. lost says why it cannot be run any more: a case without a
// guest is broken, never passed and never failed. report takes the results of its
// parts.
func (e Execution) one(ctx context.Context, m runners.Machine, c suites.Case, has offer, lost string, report func(suites.Result) error) suites.Result {
	res := suites.Result{Case: e.Suite + "/" + c.Name}
	if len(c.OSes) > 0 && !slices.Contains(c.OSes, m.OS()) {
		res.Status, res.Reason = suites.Skipped, fmt.Sprintf("only for %s, the guest is %s", strings.Join(c.OSes, " and "), m.OS())
		return res
	}
	if why := unmet(c.Requires, has); why != "" {
		res.Status, res.Reason = suites.Skipped, why
		return res
	}
	if lost != "" {
		res.Status, res.Reason = suites.Broken, lost
		return res
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultCaseTimeout
	}
	caseCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := &suites.T{Guest: m, Rand: random(e.Seed, res.Case), Metrics: map[string]float64{}, Report: report}
	before, excused := len(m.Crashes()), e.excused(m)
	began := time.Now()
	err := protect(func() error { return c.Run(caseCtx, t) })
	res.Duration, res.Metrics = time.Since(began), t.Metrics
	res.Status, res.Reason = suites.Classify(err)
	// A crash explains whatever else went wrong, and a case that did not notice
	// one has not passed.
	if now := m.Crashes(); len(now) > before {
		res.Status, res.Reason = suites.Failed, now[before]
	} else if e.excused(m) > excused {
		res.Status, res.Reason = suites.Broken, "the host gave the guest so little CPU that its kernel reported a stall"
	} else if caseCtx.Err() != nil && res.Status == suites.Broken {
		res.Reason = fmt.Sprintf("no answer within %v: %s", timeout, res.Reason)
	}
	return res
}

// excused counts the stalls on the console for which the machine blames its host.
func (e Execution) excused(m runners.Machine) int {
	stalls := 0
	all := e.Console.Crashes()
	for _, c := range all {
		if c.Stall {
			stalls++
		}
	}
	return min(stalls, max(0, len(all)-len(m.Crashes())))
}

// protect turns a panic of a case into an error: a bug of ours, so broken.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the case itself panicked: %v", p)
		}
	}()
	return f()
}

// random gives each case its own stream, so that adding a case does not change
// what another one draws.
func random(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
