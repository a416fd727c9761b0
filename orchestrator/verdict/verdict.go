// Package verdict decides what counts of results mean, and where series of numbers
// changed. It is pure: no clock, no store, nothing of the project but the result
// words.
//
//   - a case on a build: verdict.go from counts; boots.go from cold boots and history
//   - a case along the line: signature.go, rate.go, known.go (known failures)
//   - a metric along the line: metric.go, and what it is made of in sight.go (noise and
//     levels), partition.go, ranktest.go and locate.go
//   - what is kept for each iteration: leak.go
//   - from a change to an alarm: alarm.go (re-runs), event.go (one cause, one event)
package verdict

// Verdict says what a build is for a case. The zero value is invalid: a build
// that nobody judged is neither good nor bad.
type Verdict string

// Verdicts.
const (
	Good Verdict = "good"
	Bad  Verdict = "bad"
	Skip Verdict = "skip" // cannot be told: broken, skipped or inconsistent
)

// Counts are the results of one case on one build, from finished runs only. Each
// run is a cold boot of its own. An expected failure counts as a pass.
type Counts struct {
	Passed, Failed, Broken, Skipped int
}

// Add sums the counts of two builds that are one.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Passed + o.Passed, c.Failed + o.Failed, c.Broken + o.Broken, c.Skipped + o.Skipped}
}

// The thresholds of Judge. A verdict must survive a second look: one failure may
// be a flake or a rig fault that nobody recognized, so "bad" takes two of two.
const (
	failuresForBad = 2
	maxBroken      = 3 // after so many infra errors and nothing else, give up
	maxConflicted  = 5 // runs after which passes and failures together mean skip
)

// Judge decides from counts. It returns an empty Verdict when more runs are
// needed, and how many.
func Judge(c Counts) (v Verdict, more int) {
	told := c.Passed + c.Failed
	switch {
	case told == 0 && c.Skipped > 0:
		return Skip, 0
	case told == 0 && c.Broken >= maxBroken:
		return Skip, 0
	case told == 0:
		return "", 1
	case c.Failed == 0:
		return Good, 0
	case c.Passed == 0 && c.Failed >= failuresForBad:
		return Bad, 0
	case c.Broken >= maxBroken:
		return Skip, 0
	case c.Passed == 0:
		return "", failuresForBad - c.Failed
	case told >= maxConflicted:
		return Skip, 0
	}
	return "", maxConflicted - told
}
