// Package simulate runs searches of package bisect against histories whose culprit
// is known, so that what docs/bisect.md says can be measured again by anybody. It is
// pure: the same seed gives the same searches.
package simulate

import (
	"math/rand/v2"
	"slices"

	"github.com/headwatch/headwatch/orchestrator/bisect"
)

// World is a history with its ground truth. The line says what a search knows of it
// before it begins.
type World struct {
	Line bisect.Line
	// Fails is how often a run of each commit fails, with the bug or without.
	Fails []float64
	// Broken is what trying to build each commit comes to: Built, Unbuildable or
	// Unbootable. Nil: all are built.
	Broken []bisect.BuildState
	// Masked is how often a run of each commit ends in another crash. Nil: never.
	Masked []float64
	// Drift changes, with every run, how often all commits with the bug fail, as a
	// factor. 0: nothing does.
	Drift float64
	// Correlation is the share of a run's chance that its boot decides.
	Correlation float64
	// Culprits are the commits that brought the bug; several when it was fixed in
	// between, or is there twice.
	Culprits []int
	// Reverted is how often the bad end without one commit's change fails. Nil: with
	// chance q without the only culprit's, and as before without any other's.
	Reverted func(commit int) float64
	Q        float64
}

// Straight is a line of so many commits after the good one, with one culprit: a run
// of it and of what follows fails with chance p, of the others with q. The images of
// both ends are there already, from the runs that showed the regression. Culprit 0:
// the first was bad already; beyond the line: nothing is.
func Straight(commits, culprit int, p, q float64) World {
	w := World{Line: make(bisect.Line, commits+1), Fails: make([]float64, commits+1), Q: q, Culprits: []int{culprit}}
	for i := range w.Line {
		w.Line[i].State = bisect.NotBuilt
		w.Fails[i] = q
		if i >= culprit {
			w.Fails[i] = p
		}
	}
	w.Line[0].State, w.Line[commits].State = bisect.Built, bisect.Built
	return w
}

// build says what comes of building a commit.
func (w World) build(i int) bisect.BuildState {
	if w.Broken == nil || w.Broken[i] == 0 {
		return bisect.Built
	}
	return w.Broken[i]
}

// boot draws how often the runs of one cold boot fail.
func (w World) boot(a bisect.Ask, ran int, r *rand.Rand) float64 {
	v := w.Fails[a.Commit]
	if a.Reverted {
		switch {
		case w.Reverted != nil:
			v = w.Reverted(a.Commit)
		case slices.Equal(w.Culprits, []int{a.Commit}):
			v = w.Q
		default:
			v = w.Fails[len(w.Fails)-1]
		}
	}
	if w.Drift > 0 && v > w.Q {
		for range ran {
			v *= w.Drift
		}
	}
	if w.Correlation > 0 && r.Float64() < w.Correlation {
		// The boot has decided: every run of it is the same.
		if r.Float64() < v {
			return 1
		}
		return 0
	}
	return v
}

// outcome draws what a run says.
func (w World) outcome(a bisect.Ask, chance float64, r *rand.Rand) bisect.Outcome {
	switch {
	case w.Masked != nil && !a.Reverted && r.Float64() < w.Masked[a.Commit]:
		return bisect.Other
	case r.Float64() < chance:
		return bisect.Fail
	}
	return bisect.Pass
}

// history draws the runs of bad commits until so many failed.
func (w World) history(failures int, r *rand.Rand) (h bisect.History) {
	for ran := 0; h.Bad.Failed < failures && ran < maxHistory; ran++ {
		if r.Float64() < w.Fails[len(w.Fails)-1] {
			h.Bad.Failed++
		} else {
			h.Bad.Passed++
		}
	}
	return h
}

// maxHistory bounds the runs of a history.
const maxHistory = 100_000
