// Package tcp is the suite that watches a guest's TCP from the other end of its cable.
//
// A case is a row: a plan of its bed, the traffic that it makes, and what it wants to
// see in the evidence. The bed lays the cable, gives both sides addresses and static
// neighbours, pins the kernel's settings, and in the end asks the judge of traces and
// the kernel's own counters. So a case says only what it alone knows.
//
// Times are those of the wire: what reached the guest when, and when it answered. What
// a host that starves its guest can cause is no failure.
package tcp

import (
	"context"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// Suite is the TCP suite.
func Suite() suites.Suite {
	s := suites.Suite{Name: "tcp", Summary: "connections over a wire that the host sees, delays and cuts"}
	for _, r := range rows() {
		s.Cases = append(s.Cases, r.cases()...)
	}
	return s
}

// rows are the cases, those of a layer together.
func rows() []row {
	return []row{
		exchange(), dropOne("r01_sack", true), dropOne("r01_plain", false), leak("l01", suites.Smoke, smokeRounds, V4), bulk(),
		leak("l01_long", suites.Functional, longRounds), served("l01_served", suites.Functional, smokeRounds),
		masks("r02", suites.Functional, 200, 10*time.Minute), masks("r02_all", suites.Soak, 0, 2*time.Hour),
		tails(), backoff("r04", suites.Functional, 6, 4*time.Minute), backoff("r04_end", suites.Soak, 0, 30*time.Minute), handshake(),
		calm(), restarts(), again(), wrap(), rough(),
		abort(), persist(), odd(), flood(), icmp(), waits(), closing(), fastOpen(), synFlood(), seldom(),
		mixture("l07", suites.Soak, time.Hour), mixture("l07_brief", suites.Stress, 4*time.Minute),
		lossyPaths(), speed(),
	}
}

// row is a case for each family.
type row struct {
	name     string
	layer    suites.Layer
	summary  string
	families []Family // nil: both
	timed    bool     // it judges how long something took
	timeout  time.Duration
	// plan is asked for each bed: what a case draws and remembers belongs there.
	plan func(f Family, t *suites.T) Plan
}

func (r row) cases() []suites.Case {
	families := r.families
	if families == nil {
		families = []Family{V4, V6}
	}
	var cases []suites.Case
	for _, f := range families {
		cases = append(cases, suites.Case{
			Name: r.name + "_" + f.String(), Layer: r.layer, Summary: r.summary, Requires: []string{"wire"},
			Timed: r.timed, Timeout: r.timeout,
			Run: func(ctx context.Context, t *suites.T) error { return each(ctx, t, f, &r) },
		})
	}
	return cases
}
