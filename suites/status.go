package suites

import "fmt"

// Status is what a case said, in kyua's words. The zero value is invalid: a
// status that was never set is neither good nor bad.
type Status int

// The five result words.
const (
	_               Status = iota
	Passed                 // the case saw what it expects
	Failed                 // the kernel did something wrong
	Broken                 // the rig did: no evidence about the kernel
	Skipped                // the case cannot run here; the reason says why
	ExpectedFailure        // failed, as the known-failures list says it does
)

// Statuses lists the valid words in the order in which they are shown.
var Statuses = []Status{Passed, Failed, Broken, Skipped, ExpectedFailure}

var statusWords = map[Status]string{
	Passed:          "passed",
	Failed:          "failed",
	Broken:          "broken",
	Skipped:         "skipped",
	ExpectedFailure: "expected_failure",
}

func (s Status) String() string {
	if w, ok := statusWords[s]; ok {
		return w
	}
	return fmt.Sprintf("invalid status %d", int(s))
}

// MarshalText writes the result word; an invalid status is an error.
func (s Status) MarshalText() ([]byte, error) {
	if w, ok := statusWords[s]; ok {
		return []byte(w), nil
	}
	return nil, fmt.Errorf("invalid status %d", int(s))
}

// UnmarshalText reads a result word.
func (s *Status) UnmarshalText(text []byte) error {
	for st, w := range statusWords {
		if w == string(text) {
			*s = st
			return nil
		}
	}
	return fmt.Errorf("unknown status %q", text)
}

// Summarize gives the status of a run from the statuses of its cases: the worst
// of failed, broken, passed, skipped, in that order. An expected failure counts
// as passed. No statuses at all is Broken: silence is not success.
func Summarize(statuses []Status) Status {
	var seen [ExpectedFailure + 1]bool
	for _, s := range statuses {
		if s < Passed || s > ExpectedFailure {
			return Broken
		}
		seen[s] = true
	}
	switch {
	case seen[Failed]:
		return Failed
	case seen[Broken]:
		return Broken
	case seen[Passed], seen[ExpectedFailure]:
		return Passed
	case seen[Skipped]:
		return Skipped
	}
	return Broken
}
