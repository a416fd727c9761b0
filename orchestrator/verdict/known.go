package verdict

import (
	"errors"
	"fmt"
	"math"
)

// KnownFailure is a failure that is expected, as the pipeline's list has it. It has
// no date at which it ends: it lapses when the case has passed so often that the
// failure would have shown.
type KnownFailure struct {
	Case   string // "suite/case"
	Target string // empty: every target
	Reason string
	Link   string // of the bug's report
}

// Check says what an entry lacks.
func (k KnownFailure) Check() error {
	switch {
	case k.Case == "":
		return errors.New("known failure without a case: want suite/case")
	case k.Reason == "":
		return fmt.Errorf("known failure of %s without a reason: say what fails, so that the next reader can tell whether it still does", k.Case)
	}
	return nil
}

// Covers says whether a failure of a case on a target is this one.
func (k KnownFailure) Covers(name, target string) bool {
	return k.Case == name && (k.Target == "" || k.Target == target)
}

// KnownState says what became of a known failure. The zero value is invalid.
type KnownState string

// States.
const (
	Expected     KnownState = "expected"            // it fails, as the list says
	Unexpected   KnownState = "unexpectedly passed" // it passed on the newest build, and may fail again
	Lapsed       KnownState = "lapsed"              // it has passed often enough: the entry says nothing any more, and the next failure is a regression
	VanishedCase KnownState = "vanished"            // the newest build ran the suite and told nothing of the case
	Untold       KnownState = "untold"              // the newest build has not run it
)

// lapseBoots is how many passes in a row it takes at least, as many as confirm a
// fix; and lapseDoubt is the chance that may be left that the failure only hid.
const (
	lapseBoots = 5
	lapseDoubt = .01
)

// KnownBuild is what the boots of one build said of a case in the list. Ran says
// that its suite came to an end there.
type KnownBuild struct {
	Counts // Failed are the expected failures
	Ran    bool
}

// ReviewKnown says what became of a known failure on the builds since it is listed,
// oldest first, and how many passes it still lacks to lapse. A failure of
// one boot in ten needs more passes than one of each: they are counted against the
// lower 95 % limit of the rate at which it failed while it did. An entry that has
// lapsed stays so: a later failure is news.
func ReviewKnown(builds []KnownBuild) (state KnownState, lacks int) {
	passed, failed, inARow := 0, 0, 0
	for _, b := range builds {
		if b.Failed == 0 {
			inARow += b.Passed
			if need := lapseNeeds(passed, failed); inARow >= need {
				return Lapsed, 0
			}
			continue
		}
		failed += b.Failed
		passed += b.Passed + inARow
		inARow = 0
	}
	lacks = lapseNeeds(passed, failed) - inARow
	switch last := len(builds) - 1; {
	case last < 0:
		return Untold, lacks
	case builds[last].Failed > 0:
		return Expected, lacks
	case builds[last].Passed > 0:
		return Unexpected, lacks
	case builds[last].Ran && builds[last].Skipped == 0 && builds[last].Broken == 0:
		return VanishedCase, lacks
	}
	return Untold, lacks
}

// lapseNeeds is how many passes in a row leave less than lapseDoubt to a failure
// with these counts.
func lapseNeeds(passed, failed int) int {
	if failed == 0 {
		return lapseBoots // nobody has seen it fail since it is listed
	}
	p := lowerLimit(failed, passed+failed, .05)
	if p >= 1 {
		return lapseBoots
	}
	return max(lapseBoots, int(math.Ceil(math.Log(lapseDoubt)/math.Log1p(-p))))
}

// lowerLimit is the rate below which k of n or more are at most so likely (Clopper
// and Pearson, 1934).
func lowerLimit(k, n int, tail float64) float64 {
	if k == 0 {
		return 0
	}
	lo, hi := 0.0, float64(k)/float64(n)
	for range 50 {
		if mid := (lo + hi) / 2; binomialTail(k, n, mid) < tail {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
