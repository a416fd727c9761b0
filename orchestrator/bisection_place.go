package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// Place is the machine that a case is searched on: the named one, or the first of
// the matrix that can run it. os is the target's. The error says what is in the way.
func (p Planner) Place(upstream, target, os, machine, name string) (string, error) {
	var why string
	any := false
	for _, c := range p.Cells {
		if c.Upstream != upstream || c.Target != target || machine != "" && c.Machine != machine {
			continue
		}
		any = true
		if name == CaseBuild {
			return "", nil
		}
		if why = p.unfit(c, os, name); why == "" {
			return c.Machine, nil
		}
	}
	switch {
	case !any && machine != "":
		return "", fmt.Errorf("the matrix runs no %s of %s on machine %q", target, upstream, machine)
	case !any:
		return "", fmt.Errorf("the matrix builds no %s of %s", target, upstream)
	}
	return "", fmt.Errorf("case %s cannot run on %s: %s", name, target, why)
}

// unfit says why a case does not run in a cell, as far as can be told before
// anything is booted; empty: it does.
func (p Planner) unfit(cell pipeline.Cell, os, name string) string {
	if name == CaseBoot {
		return ""
	}
	suite, only := suiteOf(name)
	for _, s := range p.Suites {
		for _, c := range s.Cases {
			if s.Name != suite || c.Name != only {
				continue
			}
			switch {
			case len(c.OSes) > 0 && !slices.Contains(c.OSes, os):
				return fmt.Sprintf("it is for %s, and the guest is %s", strings.Join(c.OSes, " and "), os)
			case !slices.Contains(cell.Layers, c.Layer) || !slices.Contains(p.Layers[c.Layer].Suites, suite):
				return fmt.Sprintf("suite %s is in no layer that the matrix runs on machine %s", suite, cell.Machine)
			case able(p.Machines[cell.Machine], []suites.Case{c}) == 0:
				return fmt.Sprintf("machine %s lacks what it asks for (%s)", cell.Machine, strings.Join(c.Requires, ", "))
			}
			return ""
		}
	}
	return "no suite has it"
}

// HasCase says whether a case of that name exists.
func (p Planner) HasCase(name string) bool {
	if name == CaseBuild || name == CaseBoot {
		return true
	}
	suite, only := suiteOf(name)
	for _, s := range p.Suites {
		if s.Name == suite && slices.ContainsFunc(s.Cases, func(c suites.Case) bool { return c.Name == only }) {
			return true
		}
	}
	return false
}
