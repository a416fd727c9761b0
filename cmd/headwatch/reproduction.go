package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// reproduction is the document of a run that was done again: that of the first time
// that a case failed, or else of the first time, and what is to be said of all.
type reproduction struct {
	handRun
	Times    int          `json:"times"`    // how often it was to be done
	Failed   int          `json:"failed"`   // how often a case failed
	Statuses []string     `json:"statuses"` // of each time
	Same     bool         `json:"same"`     // each case went as it did then, each time
	Then     []comparison `json:"then"`     // what decides about a run, then and now

	shown int // index of the time whose document it is
}

// comparison is one thing that decides about a run.
type comparison struct {
	What string `json:"what"` // seed, image, monitor, accel, command, boot
	Was  string `json:"was"`
	Is   string `json:"is"`
	Same bool   `json:"same"`
}

func (p *reproduction) count(d handRun) {
	p.Statuses = append(p.Statuses, d.Status)
	if d.Status != suites.Failed.String() {
		return
	}
	if p.Failed == 0 {
		p.shown = len(p.Statuses) - 1
	}
	p.Failed++
}

// compare says what of a run was the same then. Machines lie in folders of their own
// and the host may have other ones, so of paths in a command line only the files
// count.
func compare(was, is api.Run) []comparison {
	c := func(what, was, is string) comparison { return comparison{what, was, is, was == is} }
	command := c("command", was.Command, is.Command)
	command.Same = withoutFolders(was.Command) == withoutFolders(is.Command)
	all := []comparison{
		c("seed", strconv.FormatUint(was.Seed, 10), strconv.FormatUint(is.Seed, 10)), c("image", was.Image, is.Image),
		c("monitor", was.Monitor, is.Monitor), c("accel", was.Accel, is.Accel), command, c("boot", was.BootID, is.BootID),
	}
	// A kernel that did not boot told neither.
	return slices.DeleteFunc(all, func(c comparison) bool { return c.Was == "" && c.Is == "" })
}

// folders is what comes before a file's name in a command line.
var folders = regexp.MustCompile(`/(?:[^\s/'",=:]+/)+`)

func withoutFolders(command string) string { return folders.ReplaceAllString(command, "") }

// print says in a line what was the same, and in one each what was not.
func (p *reproduction) print(w io.Writer, run string) {
	if p.Times > 1 {
		fmt.Fprintf(w, "%d of %d failed\n", p.Failed, len(p.Statuses))
	}
	var same []string
	for _, c := range p.Then {
		switch {
		case c.What == "boot" && !c.Same:
			fmt.Fprintln(w, "another cold boot than then: what a kernel draws at boot differs")
		case !c.Same:
			fmt.Fprintf(w, "%s was %s and is %s\n", c.What, or(c.Was, "unknown"), or(c.Is, "unknown"))
		case c.What == "command":
			same = append(same, "command line")
			fmt.Fprintf(w, "command: %s\n", c.Is)
		case c.What == "boot":
			same = append(same, "cold boot")
		default:
			same = append(same, c.What+" "+c.Is)
		}
	}
	fmt.Fprintf(w, "as then: %s\n", or(strings.Join(same, ", "), "nothing"))
	if p.Same {
		fmt.Fprintf(w, "the same as in run %s\n", run)
	}
}

// differences are the cases that went otherwise than then, a line each. The case boot
// is told once for each boot, so one run lacks it that another has.
func differences(was, is api.Run, only string) (lines []string) {
	now := map[string]string{}
	for _, r := range is.Results {
		now[r.Case] = r.Status
	}
	for _, r := range was.Results {
		status, told := now[r.Case]
		delete(now, r.Case)
		if told && status == r.Status || !told && (r.Case == orchestrator.CaseBoot || only != "" && r.Case != was.Suite+"/"+only) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s was %s in run %s and is %s now", r.Case, r.Status, was.Run, or(status, "absent")))
	}
	delete(now, orchestrator.CaseBoot)
	for _, r := range is.Results {
		if status, ok := now[r.Case]; ok {
			lines = append(lines, fmt.Sprintf("%s was absent in run %s and is %s now", r.Case, was.Run, status))
		}
	}
	return lines
}

// firstFault is what the first case that did not pass said.
func firstFault(d handRun) string {
	for _, r := range d.Results {
		if r.Status == suites.Failed.String() || r.Status == suites.Broken.String() {
			return r.Case + because(r.Reason)
		}
	}
	return d.Reason
}

// caseOf is the name of one of a recorded run's cases, given with its suite or
// without.
func caseOf(run, suite, name string, cases []suites.Case) (string, error) {
	name = strings.TrimPrefix(name, suite+"/")
	var have []string
	for _, c := range cases {
		if c.Name == name {
			return name, nil
		}
		have = append(have, c.Name)
	}
	return "", usagef("run %s has no case %q; it has %s", run, name, strings.Join(have, ", "))
}
