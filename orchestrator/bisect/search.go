package bisect

// A plain binary search over verdicts that were repeated before they were given. It
// does not plan repeats against the cost of builds; Search does, and takes its place
// when the orchestrator plans with it.

// State is what is known of a commit. The zero value means that nothing is.
type State int

// States of a commit.
const (
	Unknown State = iota
	Good
	Bad
	Untestable // its verdict is skip
	// Deferred commits are unknown too: the rig broke their build, and what else
	// there is to test comes before they are tried again.
	Deferred
)

// Point is one commit on the first-parent line.
type Point struct {
	Build string // commits with equal builds are one candidate
	State State
}

// Kind says what a Step wants. The zero value is invalid.
type Kind int

// Kinds of step.
const (
	_       Kind = iota
	Probe        // test commit At
	Found        // At is the first bad commit, its build follows a good one's
	Ranged       // the culprit is after Good and not after Bad: nothing between can be tested
	NoRange      // the line has no bad commit after a good one
)

// Step is what a search wants next. Good and Bad are the bounds that it has
// reached: the newest good commit before the oldest bad one.
type Step struct {
	Kind      Kind
	At        int
	Good, Bad int
}

// Next takes a line of commits, oldest first, whose first point is good and whose
// last is bad, and narrows it.
func Next(line []Point) Step {
	lo, hi := bounds(line)
	if lo < 0 {
		return Step{Kind: NoRange, At: -1, Good: -1, Bad: -1}
	}
	// One representative for each build between that is neither bound's.
	var open, deferred []int
	classes := 0
	for i := lo + 1; i < hi; i++ {
		b := line[i].Build
		if b == line[lo].Build || b == line[hi].Build || b == line[i-1].Build {
			continue
		}
		classes++
		switch line[i].State {
		case Unknown:
			open = append(open, i)
		case Deferred:
			deferred = append(deferred, i)
		}
	}
	if len(open) == 0 {
		open = deferred
	}
	switch {
	case len(open) > 0:
		return Step{Kind: Probe, At: open[len(open)/2], Good: lo, Bad: hi}
	case classes > 0:
		return Step{Kind: Ranged, At: -1, Good: lo, Bad: hi}
	}
	first := hi
	for line[first-1].Build == line[hi].Build {
		first--
	}
	return Step{Kind: Found, At: first, Good: first - 1, Bad: first}
}

// bounds finds the newest good point that has a bad one after it, and the first
// bad point after that.
func bounds(line []Point) (lo, hi int) {
	hi = -1
	for i := len(line) - 1; i >= 0; i-- {
		switch line[i].State {
		case Bad:
			hi = i
		case Good:
			if hi >= 0 {
				return i, hi
			}
		}
	}
	return -1, -1
}
