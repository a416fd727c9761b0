package kyua

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kyua/guest"
)

// judgeEnd says why there is nothing to read after a run that ended. log is the
// end of what kyua printed. kyua exits 0 when all is well and 1 when tests failed;
// 2 and 3 are its own faults, in kyua(1).
func judgeEnd(end guest.End, log string) error {
	after := time.Duration(end.DurationS * float64(time.Second)).Round(time.Second)
	switch {
	case (end.Exit == 0 || end.Exit == 1) && end.Signal == "" && end.Fault == "":
		return nil
	case end.TimedOut:
		return fmt.Errorf("kyua was stopped after %v%s", after, lastWords(log))
	case end.Signal != "":
		return fmt.Errorf("kyua was ended by a signal, %s, after %v%s", line(end.Signal, 100), after, lastWords(log))
	case end.Exit != 0 && end.Exit != 1:
		return fmt.Errorf("kyua exited with %d%s", end.Exit, lastWords(log))
	}
	return fmt.Errorf("%s%s", line(end.Fault, reasonBytes), lastWords(log))
}

// judgeReport compares what kyua said with what it wrote.
func judgeReport(exit int, cases []Case, filters []string, log string) error {
	if len(cases) == 0 {
		return errors.New("kyua ran no tests" + lastWords(log))
	}
	for _, f := range filters {
		if !used(f, cases) {
			return fmt.Errorf("no test case is selected by the filter %q", f)
		}
	}
	bad := 0
	for _, c := range cases {
		if c.Status == suites.Failed || c.Status == suites.Broken {
			bad++
		}
	}
	if (exit == 1) != (bad > 0) {
		return fmt.Errorf("kyua exited with %d, and %d of its %d results are bad%s", exit, bad, len(cases), lastWords(log))
	}
	return nil
}

func used(filter string, cases []Case) bool {
	only, name, _ := strings.Cut(filter, ":")
	for _, c := range cases {
		if selects(only, name, c.Program, c.Name, "/") {
			return true
		}
	}
	return false
}

const wordsBytes = 300

// lastWords is the end of kyua's log, to go behind a reason.
func lastWords(log string) string {
	log = strings.TrimSpace(log)
	log = log[max(0, len(log)-wordsBytes):]
	if words := strings.TrimSpace(line(log, wordsBytes)); words != "" {
		return "; its last words: " + words
	}
	return ""
}

// underWay is the test case that kyua was running at the end of its log, or empty.
// It says so only where it runs one at a time.
func underWay(log string) string {
	last := log[strings.LastIndexByte(log, '\n')+1:]
	id, result, ok := strings.Cut(last, "  ->  ")
	if !ok || result != "" {
		return ""
	}
	return line(id, 2*nameBytes)
}
