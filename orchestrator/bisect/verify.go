package bisect

import "math"

// Role is whose runs confirm a culprit. The zero value is invalid.
type Role int

// Whose runs confirm a culprit.
const (
	_        Role = iota
	Accused       // the culprit itself, or the first commit after a range: it fails
	Parent        // the nearest commit before that can be asked: it passes
	Reverted      // the bad end without the culprit's change: it passes
)

// Subject is one of those whose runs confirm a culprit.
type Subject struct {
	Role   Role
	Commit int // of the reverted bad end: the culprit
	Count
	Boots   int
	Wanted  int  // runs that are still wanted, each of a cold boot of its own
	Against bool // its runs say the opposite
}

// Verification is the second key to a culprit, which trusts no prior: what runs of
// the culprit, its parents and its revert say by themselves.
type Verification struct {
	Subjects []Subject
	Done     bool // and nothing speaks against it
}

const (
	// enoughBoots is how many cold boots confirm each subject at least.
	enoughBoots = 5
	// surety is how much likelier a subject's runs have to be if it is what it is
	// taken for than if it is not.
	surety = 100
	// aim is how many failures of a culprit are waited for.
	aim = 2
)

// verify lists what confirms an answer.
func (s *Search) verify(a Answer, c classes, o Options) Verification {
	if len(a.Commits) == 0 {
		return Verification{}
	}
	p := s.Posterior()
	last := a.Commits[len(a.Commits)-1]
	rates := rates{low: clamp(p.P.Low), good: clamp(p.Q.Mean)}
	v := Verification{Done: true}
	add := func(r Role, commit int) {
		x := Subject{Role: r, Commit: commit}
		x.Count, x.Boots = s.evidence.Of(commit, r == Reverted)
		rates.judge(&x)
		v.Subjects = append(v.Subjects, x)
		v.Done = v.Done && x.Wanted == 0 && !x.Against
	}
	add(Accused, s.closing(c, last))
	for _, parent := range s.before(c, a.Commits[0]) {
		add(Parent, parent)
	}
	if len(a.Commits) == 1 && !o.NoRevert {
		add(Reverted, a.Commits[0])
	}
	return v
}

// rates are how often a bad commit fails at the least, and a good one.
type rates struct{ low, good float64 }

// judge says how many more runs a subject has to make.
func (r rates) judge(x *Subject) {
	pass, fail := math.Log((1-r.good)/(1-r.low)), math.Log(r.low/r.good)
	// How much the runs speak for a good commit, and how many passes say enough.
	good := float64(x.Passed)*pass - float64(x.Failed)*fail
	passes := int(math.Ceil((math.Log(surety) - good) / pass))
	if x.Role == Accused {
		alone := int(math.Ceil(math.Log(surety) / pass))
		switch {
		case x.Failed == 0 && x.Passed >= alone:
			x.Against = true
		case x.Failed < aim && x.Passed < alone:
			x.Wanted = alone - x.Passed
		}
	} else if good <= -math.Log(surety) {
		x.Against = true
	} else {
		x.Wanted = max(0, passes)
	}
	if !x.Against {
		x.Wanted = max(x.Wanted, enoughBoots-x.Boots)
	}
}

// asks wants every subject to run at the same time, as far as there are machines.
func (v Verification) asks(machines int) (out []Ask) {
	for _, x := range v.Subjects {
		if x.Against {
			return nil // it is refuted: no more runs will mend it
		}
		if x.Wanted > 0 {
			out = append(out, Ask{Commit: x.Commit, Reverted: x.Role == Reverted, Runs: x.Wanted, Machines: 1})
		}
	}
	if len(out) > machines {
		out = out[:machines]
	}
	for i := range out {
		out[i].Machines = max(1, machines/len(out))
	}
	return out
}
