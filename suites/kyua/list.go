package kyua

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/suites"
)

// List is a list of expected failures, as FreeBSD's CI keeps one per job in
// jobs/*/xfail-list of freebsd-ci: one test case a line,
//
//	lib.msun.fma_test:main
//
// the program's path with dots for slashes, as kyua's JUnit reports write it, a
// colon and the case's name. Slashes are read too, and so are empty lines and
// comments, which begin with # at the start of a line or after a space.
type List struct {
	entries []entry
}

type entry struct {
	id    string // as the list writes it
	where string // file:line
	note  string // the comment behind it
}

const (
	listLines = 100_000
	listLine  = 4 << 10 // bytes
)

// ParseList reads a list. name is for messages. A test case that is listed twice
// is an error: one of the two lines would outlive the other.
func ParseList(name string, r io.Reader) (List, error) {
	var l List
	first := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, listLine), listLine)
	n := 0
	for lines.Scan() {
		n++
		where := fmt.Sprintf("%s:%d", name, n)
		if n > listLines {
			return List{}, fmt.Errorf("%s: more than %d lines", where, listLines)
		}
		text, note, _ := strings.Cut(" "+lines.Text(), " #")
		e := entry{strings.TrimSpace(text), where, strings.TrimSpace(note)}
		if e.id == "" {
			continue
		}
		program, test, _ := strings.Cut(e.id, ":")
		if !isName(e.id) || program == "" || test == "" || strings.ContainsAny(e.id, " \t") {
			return List{}, fmt.Errorf("%s: %q is no test case, as in lib.msun.fma_test:main", where, e.id)
		}
		if other, twice := first[dotted(e.id)]; twice {
			return List{}, fmt.Errorf("%s: %s is listed already, at %s", where, e.id, other)
		}
		first[dotted(e.id)] = where
		l.entries = append(l.entries, e)
	}
	if err := lines.Err(); err != nil {
		return List{}, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return l, nil
}

// dotted is how lists write a case. The case's own name is left alone.
func dotted(id string) string {
	program, test, _ := strings.Cut(id, ":")
	return strings.ReplaceAll(program, "/", ".") + ":" + test
}

// Finding is a test case that is not as the lists have it.
type Finding struct {
	ID  string // the case, as the report or else the list writes it
	Why string
}

// Outcome is a run's cases as the lists see them.
type Outcome struct {
	Cases []Case // the report's, the expected failures marked
	// UnexpectedlyPassed are listed as expected failures and passed.
	UnexpectedlyPassed []Finding
	// Vanished are listed or known, should have run and have no result.
	Vanished []Finding
	// New are not among the known.
	New []Finding
}

// Apply compares the cases of a run with a list of expected failures and with the
// known cases, those of earlier runs: none means that nothing is known, and then
// nothing is new. filters are those of the run, none for all.
//
// Words stay kyua's, with one exception: a listed case that failed or broke is an
// expected failure. FreeBSD's CI turns both into skips. A listed case that passed
// stays passed, as there, and is reported: a fix is no regression. It says the
// same of a listed case that was skipped or that expects its failure itself; here
// such a case is in order. A case that vanished is reported there; here it is for
// the caller to call it broken, since silence is not success.
func Apply(cases []Case, list List, known, filters []string) Outcome {
	o := Outcome{Cases: slices.Clone(cases)}
	listed, was := map[string]entry{}, map[string]bool{}
	for _, e := range list.entries {
		listed[dotted(e.id)] = e
	}
	for _, id := range known {
		was[dotted(id)] = true
	}
	present := map[string]bool{}
	for i := range o.Cases {
		c := &o.Cases[i]
		id := dotted(c.ID())
		present[id] = true
		if e, ok := listed[id]; ok {
			o.expect(c, e)
		}
		if len(known) > 0 && !was[id] {
			o.New = append(o.New, Finding{c.ID(), "not among the known test cases"})
		}
	}
	gone := func(id, why string) {
		if !present[dotted(id)] && chosen(id, filters) {
			present[dotted(id)] = true // once
			o.Vanished = append(o.Vanished, Finding{id, why})
		}
	}
	for _, id := range known { // first: lists do not tell which dots are slashes
		gone(id, "known from earlier runs")
	}
	for _, e := range list.entries {
		gone(e.id, "listed as an expected failure at "+e.where)
	}
	return o
}

// expect judges a listed case.
func (o *Outcome) expect(c *Case, e entry) {
	switch c.Status {
	case suites.Failed, suites.Broken:
		note := e.where
		if e.note != "" {
			note += ", " + e.note
		}
		c.Reason = fmt.Sprintf("%s (%v; listed at %s)", c.Reason, c.Status, note)
		c.Status = suites.ExpectedFailure
	case suites.Passed:
		o.UnexpectedlyPassed = append(o.UnexpectedlyPassed, Finding{c.ID(), "listed as an expected failure at " + e.where})
	}
}

// chosen says whether kyua's filters select a case, with dots for slashes in both.
func chosen(id string, filters []string) bool {
	program, test, _ := strings.Cut(dotted(id), ":")
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool {
		only, name, _ := strings.Cut(f, ":")
		return selects(strings.ReplaceAll(only, "/", "."), name, program, test, ".")
	})
}

// selects says whether a filter selects a case: it is a program, a folder of
// programs, or one case of a program, and then name is not empty.
func selects(filter, name, program, test, slash string) bool {
	if name != "" {
		return program == filter && test == name
	}
	return program == filter || strings.HasPrefix(program, filter+slash)
}
