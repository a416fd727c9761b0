package bisect

import (
	"errors"
	"fmt"
)

// BuildState is what is known of a commit's image. The zero value is invalid.
type BuildState int

// What is known of a commit's image.
const (
	_           BuildState = iota
	NotBuilt               // nobody tried
	Built                  // there is an image: another run costs no build
	Unbuildable            // it does not compile
	Unbootable             // it does not boot
)

// Commit is one commit of a Line.
type Commit struct {
	State BuildState
	// Class names what the build reads or what it made: commits of one class behave
	// alike. Empty: a class of its own.
	Class string
	// Prior weighs the commit against the others before anything ran, for instance
	// by the files that it touches; it is held within 1/MaxPrior and MaxPrior times
	// the usual weight, which is 1. 0 means 1.
	Prior float64
	// Cost is what building it costs, in runs. 0: the model's BuildCost.
	Cost float64
	// Parents are the indices of the parents within the line. Nil: the commit before.
	// Parents that lie outside of the line are left out, and taken for good.
	Parents []int
}

// MaxPrior bounds how much one commit may be suspected more than another.
const MaxPrior = 10

// Limits of a line: a plan takes time in proportion to its length, below a merge to
// the square of it.
const (
	maxCommits = 1 << 20
	maxMerged  = 1 << 13
)

// Line is the commits of a search, parents before children. The first was good and
// the last was bad when the search began. A first-parent line needs no Parents. To
// descend into a merge, give the merge's first parent, the commits that came with
// it, and the merge itself.
type Line []Commit

// What is wrong with a line.
var (
	ErrNoCommits = errors.New("no commits between good and bad: give a good commit that is an ancestor of the bad one")
	ErrBadEnd    = errors.New("the bad commit does not build or boot, so it cannot have failed: give one that does, or search for the broken build")
	ErrSameBuild = errors.New("good and bad are the same build: what the case depends on is not in the commits")
)

// check says what makes a line unusable.
func (l Line) check() error {
	if len(l) < 2 {
		return ErrNoCommits
	}
	for i, c := range l {
		if c.State < NotBuilt || c.State > Unbootable {
			return fmt.Errorf("commit %d: unknown build state %d", i, c.State)
		}
		if !(c.Prior >= 0) || !(c.Cost >= 0) || c.Prior > 1e12 || c.Cost > 1e12 {
			return fmt.Errorf("commit %d: prior %v and cost %v: want finite numbers of at least 0", i, c.Prior, c.Cost)
		}
		for _, p := range c.Parents {
			if p < 0 || p >= i {
				return fmt.Errorf("commit %d: parent %d is not before it", i, p)
			}
		}
	}
	if !l[len(l)-1].testable() {
		return ErrBadEnd
	}
	if len(l) > maxCommits || len(l) > maxMerged && !l.linear() {
		return fmt.Errorf("%d commits: want at most %d, and %d below a merge; narrow good and bad first", len(l), maxCommits, maxMerged)
	}
	if c := l[0].Class; c != "" && c == l[len(l)-1].Class {
		return ErrSameBuild
	}
	return nil
}

// parents lists the parents of a commit within the line.
func (l Line) parents(i int) []int {
	if p := l[i].Parents; p != nil || i == 0 {
		return p
	}
	return []int{i - 1}
}

// linear says whether every commit follows the one before it.
func (l Line) linear() bool {
	for i, c := range l {
		if c.Parents != nil && (len(c.Parents) != 1 || c.Parents[0] != i-1) {
			return false
		}
	}
	return true
}

// prior is the weight of each commit as the culprit, before evidence. Commits of one
// class cannot differ, so neither can anything between the first and the last of
// them on a linear line be the culprit: it went away again.
func (l Line) prior() []float64 {
	w := make([]float64, len(l))
	for i := 1; i < len(l); i++ {
		w[i] = 1
		if p := l[i].Prior; p > 0 {
			w[i] = min(max(p, 1./MaxPrior), MaxPrior)
		}
	}
	if !l.linear() {
		for i, c := range l {
			for _, p := range c.Parents {
				if c.Class != "" && c.Class == l[p].Class {
					w[i] = 0
				}
			}
		}
		return w
	}
	last := map[string]int{}
	for i, c := range l {
		if c.Class != "" {
			last[c.Class] = i
		}
	}
	for i, end := 0, 0; i < len(l); i++ {
		if i > 0 && i <= end {
			w[i] = 0
		}
		if c := l[i].Class; c != "" {
			end = max(end, last[c])
		}
	}
	return w
}

// testable says whether a commit can still be asked.
func (c Commit) testable() bool { return c.State == NotBuilt || c.State == Built }
