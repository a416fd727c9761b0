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

// one runs a case on a machine of its own, if that has what the case asks for. report
// takes the results of its parts.
func (e Execution) one(ctx context.Context, b *booted, c suites.Case, has offer, report func(suites.Result) error) suites.Result {
	res := suites.Result{Case: e.Suite + "/" + c.Name}
	if len(c.OSes) > 0 && !slices.Contains(c.OSes, b.os) {
		res.Status, res.Reason = suites.Skipped, fmt.Sprintf("only for %s, the guest is %s", strings.Join(c.OSes, " and "), b.os)
		return res
	}
	if why := unmet(c.Requires, has); why != "" {
		res.Status, res.Reason = suites.Skipped, why
		return res
	}
	m, console, err := e.machine(ctx, b, c.Name)
	if err != nil {
		return notStarted(res, err)
	}
	defer m.Close()
	console.Expect(c.Causes)
	res = e.on(ctx, descendant{m, b}, console, c, report)
	if gone(m) {
		res = endedIn(m, res)
	}
	return res
}

// descendant is a machine as a case sees it: its console began with its boot, and its
// kernel is the image's.
type descendant struct {
	runners.Machine
	of *booted
}

// Crashes lists those of the cold boot, too.
func (d descendant) Crashes() []string {
	return append(slices.Clone(d.of.crashes), d.Machine.Crashes()...)
}

// guest is the machine with all that its runner can do for a case.
func (d descendant) guest() suites.Guest {
	if serial, ok := d.Machine.(runners.Serial); ok {
		return struct {
			descendant
			runners.Serial
		}{d, serial}
	}
	return d
}

// KernelLayouts is the document of the kernel's structures, nil when there is none.
func (d descendant) KernelLayouts() []byte { return d.of.layouts }

// on runs a case on a machine.
func (e Execution) on(ctx context.Context, m descendant, console runners.Console, c suites.Case, report func(suites.Result) error) (out suites.Result) {
	res := suites.Result{Case: e.Suite + "/" + c.Name}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultCaseTimeout
	}
	caseCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := &suites.T{Guest: m.guest(), Rand: random(e.Seed, res.Case), Seed: e.Seed, Metrics: map[string]float64{}}
	wrong := false // a part of it
	t.Report = func(part suites.Result) error {
		part = judgeTime(c, part, t.Load)
		wrong = wrong || wentWrong(part.Status)
		return report(part)
	}
	if e.Artifacts != nil {
		files := e.Artifacts.begin(res.Case)
		defer func() { out.Output += files.end(wrong || wentWrong(out.Status)) }()
		t.Keep = files.open
	}
	before, excused := len(m.Crashes()), stalls(m.Machine, console)
	release := e.press(caseCtx, m.Machine, c, &res)
	t.Begin()
	began := time.Now()
	err := protect(func() error { return c.Run(caseCtx, t) })
	res.Duration, res.Metrics = time.Since(began), t.Metrics
	release()
	res.Status, res.Reason = suites.Classify(err)
	res = judgeTime(c, res, t.Load)
	// A crash explains whatever else went wrong, and a case that did not notice
	// one has not passed.
	if now := m.Crashes(); len(now) > before {
		res.Status, res.Reason = suites.Failed, now[before]
	} else if stalls(m.Machine, console) > excused {
		res.Status, res.Reason = suites.Broken, "the host gave the guest so little CPU that its kernel reported a stall"
	} else if caseCtx.Err() != nil && res.Status == suites.Broken {
		res.Reason = fmt.Sprintf("no answer within %v: %s", timeout, res.Reason)
	}
	return res
}

// stalls counts the stalls on a console for which the machine blames its host.
func stalls(m runners.Machine, console runners.Console) int {
	n := 0
	all := console.Crashes()
	for _, c := range all {
		if c.Stall {
			n++
		}
	}
	return min(n, max(0, len(all)-len(m.Crashes())))
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
