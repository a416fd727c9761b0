package main

import (
	"slices"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// due says which case is executed next: the one that was executed least often, of those
// that have not passed often enough. Without a number there is one, again and again.
type due struct {
	cases []string // below their suite
	until int      // passes; 0: no end
	suite string
	ran   map[string]int // by a case's whole name
	good  map[string]int
}

// casesDue begins with what was counted before.
func casesDue(cases []suites.Case, j orchestrator.Job, before []execution, until int) due {
	d := due{until: until, suite: j.Suite, ran: map[string]int{}, good: map[string]int{}}
	for _, c := range cases {
		d.cases = append(d.cases, c.Name)
	}
	for _, e := range before {
		d.ran[e.Case]++
		d.count(e.Case, e.Status)
	}
	return d
}

// next counts the case as executed, so that another worker takes another one.
func (d *due) next() (only string, ok bool) {
	if d.until == 0 {
		return d.cases[0], true
	}
	for _, c := range d.cases {
		if name := d.suite + "/" + c; d.good[name] < d.until && (only == "" || d.ran[name] < d.ran[d.suite+"/"+only]) {
			only = c
		}
	}
	d.ran[d.suite+"/"+only]++
	return only, only != ""
}

// count takes what came of an execution. What was skipped cannot be run on the target.
func (d *due) count(name, status string) {
	if d.until == 0 {
		return
	}
	switch status {
	case suites.Passed.String():
		d.good[name]++
	case suites.Skipped.String():
		d.cases = slices.DeleteFunc(d.cases, func(c string) bool { return d.suite+"/"+c == name })
	}
}
