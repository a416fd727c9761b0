package bisect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Outcome is what one run said of a commit. Boot failures and infra errors are no
// observations. The zero value is invalid.
type Outcome int

// What a run said.
const (
	_     Outcome = iota
	Fail          // it failed with the target's signature
	Pass          // it passed
	Other         // it crashed in another way: no evidence, but such a commit is hard to ask
)

// Observation is one run of one commit. The failure that a search began with is
// none: it was chosen for being one.
type Observation struct {
	ID       string // of the run; the same one twice counts once
	Commit   int    // index in the line
	Reverted bool   // it ran the bad end without that commit's change; this confirms, and tells a search nothing
	Boot     string // of the cold boot that the run is a clone of; empty: a boot of its own
	Outcome  Outcome
}

// Evidence is a set of observations. Its order plays no part. The zero value is
// empty and ready to use.
type Evidence struct {
	seen  map[string]Observation
	boots map[bootKey]Count
}

type bootKey struct {
	commit   int
	reverted bool
	boot     string
}

// Count counts runs of one cold boot or one commit.
type Count struct{ Failed, Passed, Other int }

func (c Count) plus(d Count) Count {
	return Count{c.Failed + d.Failed, c.Passed + d.Passed, c.Other + d.Other}
}

// Add takes an observation in, and says whether it was new. One that contradicts an
// earlier one of its ID is refused.
func (e *Evidence) Add(o Observation) (bool, error) {
	if o.ID == "" || o.Commit < 0 || o.Outcome < Fail || o.Outcome > Other {
		return false, fmt.Errorf("observation %q of commit %d with outcome %d: want an id, a commit and an outcome", o.ID, o.Commit, o.Outcome)
	}
	if old, ok := e.seen[o.ID]; ok {
		if old != o {
			return false, fmt.Errorf("observation %q is %+v already, not %+v: every run needs an id of its own", o.ID, old, o)
		}
		return false, nil
	}
	if e.seen == nil {
		e.seen, e.boots = map[string]Observation{}, map[bootKey]Count{}
	}
	e.seen[o.ID] = o
	k := bootKey{o.Commit, o.Reverted, o.Boot}
	e.boots[k] = e.boots[k].plus(o.count())
	return true, nil
}

func (o Observation) count() Count {
	switch o.Outcome {
	case Fail:
		return Count{Failed: 1}
	case Pass:
		return Count{Passed: 1}
	}
	return Count{Other: 1}
}

// Len is the number of observations.
func (e *Evidence) Len() int { return len(e.seen) }

// Of counts the runs of a commit, or of the bad end without its change, and the
// cold boots among them that said something.
func (e *Evidence) Of(commit int, reverted bool) (c Count, boots int) {
	for k, n := range e.boots {
		if k.commit != commit || k.reverted != reverted {
			continue
		}
		c = c.plus(n)
		switch told := n.Failed + n.Passed; {
		case k.boot == "":
			boots += told
		case told > 0:
			boots++
		}
	}
	return c, boots
}

// asked is what is known of one commit: all its runs, and those of its cold boots
// that made more than one, each boot by itself.
type asked struct {
	commit  int
	total   Count
	single  Count // runs that are a boot each
	several []Count
}

// byCommit groups the evidence, always in the same order.
func (e *Evidence) byCommit() []asked {
	at := map[int]*asked{}
	for k, n := range e.boots {
		if k.reverted {
			continue
		}
		a := at[k.commit]
		if a == nil {
			a = &asked{commit: k.commit}
			at[k.commit] = a
		}
		a.total = a.total.plus(n)
		if k.boot == "" || n.Failed+n.Passed < 2 {
			a.single = a.single.plus(n)
		} else {
			a.several = append(a.several, Count{Failed: n.Failed, Passed: n.Passed})
		}
	}
	out := make([]asked, 0, len(at))
	for _, c := range slices.Sorted(maps.Keys(at)) {
		a := at[c]
		slices.SortFunc(a.several, func(x, y Count) int {
			return cmp.Or(cmp.Compare(x.Failed, y.Failed), cmp.Compare(x.Passed, y.Passed))
		})
		out = append(out, *a)
	}
	return out
}
