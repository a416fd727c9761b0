package orchestrator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator/bisect"
	"github.com/headwatch/headwatch/suites"
)

// Asker says who asked for a bisection. The zero value is invalid.
type Asker string

// Who asks for bisections.
const (
	AskedByHand Asker = "hand"
	AskedByPass Asker = "pass" // for a regression that verdicts alone could not locate
)

// EndingUntestable is the ending of a bisection whose bad end cannot be run: the
// others are those of package bisect.
const EndingUntestable = "untestable"

// Bisection is a search for the commit that made a case bad, or mended it. What it
// knows is derived from results of runs: it holds what is searched, and how it ended.
type Bisection struct {
	ID         int64
	Upstream   string
	Target     string
	Machine    string // empty for case "build"
	Case       string // "suite/case", "build" or "boot"
	Good, Bad  string // ends on the first-parent line; Good is the older one, of a fix too
	Fix        bool   // the older end fails and the newer one passes
	Crash      string // only a crash with this signature is a failure; empty: every failure is
	Asker      Asker
	Confidence float64
	Ending     string // empty while it runs
	First      string // oldest candidate; the culprit when it is the newest, too
	Last       string // newest candidate
	Posterior  float64
	Verified   bool
	Opened     time.Time
	Closed     time.Time // zero while it runs
}

// Observed is a job that runs one case, and what its run said.
type Observed struct {
	Job     Job
	Open    bool   // the job has no outcome yet
	Run     string // empty: none counts
	Boot    string // of the cold boot that it is a clone of
	Status  suites.Status
	Booted  suites.Status // of the case "boot"; 0: not told again of a boot that was used before
	Reason  string
	Crashes []string // signatures
	Took    time.Duration
}

// Advance is how far a bisection is, and what it does next.
type Advance struct {
	Bisection Bisection
	Plan      bisect.Plan
	Posterior bisect.Posterior
	Forecast  bisect.Forecast // in runs
	Commits   []Commit        // the line from Good to Bad, the first of each build
	States    bisect.Line     // of the same commits
	Counts    []bisect.Count  // of the same commits
	Jobs      []Job           // what is to be queued
	Waiting   int             // jobs of it that are open
	Cost      BisectionCost
	Stuck     string // why the newer end cannot be run; the search is over
}

// Done says whether nothing is left to do.
func (a Advance) Done() bool { return a.Stuck != "" || a.Plan.Goal == bisect.Stop }

// BisectionCost is what a search has spent. Runs are those that it asked for.
type BisectionCost struct {
	Runs, Builds int
	RunTime      time.Duration // of all its runs
	VerifyTime   time.Duration // of those that confirm
	BuildTime    time.Duration
	EachRun      time.Duration // mean; 0: not known yet
	EachBuild    time.Duration
}

// runsPerBoot is how many runs of a search come from one cold boot, which is dear,
// while it narrows. What the boot decides they share, and the search knows.
const runsPerBoot = 4

// BisectOptions is what a search has to work with.
type BisectOptions struct {
	Machines int           // runs at once; 0 means 1
	Ahead    int           // builds made meanwhile
	Budget   time.Duration // of builds and runs; 0: no limit
	Runs     int           // the same in runs; 0: no limit
}

// Errors of a search whose ends make none.
var (
	ErrNotOnLine = errors.New("is not on the first-parent line that is followed")
	ErrNotBefore = errors.New("is not before")
)

// Advance weighs what is known of a bisection and says what to do next. It is pure.
// raw is the view as the store gives it: equal images are merged here.
func (p Planner) Advance(raw View, b Bisection, seen []Observed, o BisectOptions) (Advance, error) {
	a := Advance{Bisection: b}
	at := places(raw.Line)
	lo, okGood := at[b.Good]
	hi, okBad := at[b.Bad]
	switch {
	case !okGood:
		return a, fmt.Errorf("commit %s %w of %s", b.Good, ErrNotOnLine, b.Upstream)
	case !okBad:
		return a, fmt.Errorf("commit %s %w of %s", b.Bad, ErrNotOnLine, b.Upstream)
	case lo >= hi:
		return a, fmt.Errorf("commit %s %w %s", b.Good, ErrNotBefore, b.Bad)
	}
	v := raw.Merged()
	t := search{p: p, v: v, b: b, o: o, commits: v.distinct(v.Line[lo : hi+1]), seen: ofMerged(raw, v, seen)}
	if len(t.commits) < 2 {
		return a, bisect.ErrSameBuild
	}
	a.Commits = t.commits
	a.Cost = t.cost()
	a.States = t.line()
	evidence, counts, err := t.evidence()
	if err != nil {
		return a, err
	}
	a.Counts = counts
	for _, s := range t.seen {
		if s.Open {
			a.Waiting++
		}
	}
	s, err := bisect.NewSearch(a.States, evidence, t.model(a.Cost))
	if errors.Is(err, bisect.ErrBadEnd) {
		a.Stuck = t.whyStuck()
		return a, nil
	}
	if err != nil {
		return a, err
	}
	a.Forecast, a.Posterior = s.Forecast(), s.Posterior()
	a.Plan = s.Plan(t.options(a.Cost))
	a.Jobs = t.jobs(a.Plan)
	return a, nil
}

// distinct lists the first commit of each build of a line. What lies between two commits
// of one build went away again, and is no candidate.
func (v View) distinct(line []Commit) (out []Commit) {
	last := map[string]int{}
	for i, c := range line {
		last[v.Inputs[c.Hash]] = i
	}
	for i, end := 0, -1; i < len(line); i++ {
		if i > end {
			out = append(out, line[i])
		}
		end = max(end, last[v.Inputs[line[i].Hash]])
	}
	return out
}

// ofMerged lets observations name the builds of a merged view.
func ofMerged(raw, merged View, seen []Observed) []Observed {
	of := make(map[string]string, len(raw.Inputs))
	for c, id := range raw.Inputs {
		of[id] = merged.Inputs[c]
	}
	out := make([]Observed, 0, len(seen))
	for _, s := range seen {
		if id, ok := of[s.Job.Build]; ok {
			s.Job.Build = id
			out = append(out, s)
		}
	}
	return out
}

// end is a bisection as it ended.
func (a Advance) end() Bisection {
	b := a.Bisection
	if a.Stuck != "" {
		b.Ending = EndingUntestable
		return b
	}
	b.Ending, b.Posterior, b.Verified = a.Plan.Ending.String(), a.Plan.Confidence, a.Plan.Verification.Done
	if b.Ending == "" {
		b.Ending = bisect.OverBudget.String()
	}
	if n := len(a.Plan.Commits); n > 0 {
		b.First, b.Last = a.Commits[a.Plan.Commits[0]].Hash, a.Commits[a.Plan.Commits[n-1]].Hash
	}
	return b
}

// suiteOf parts a case's name; a boot has no suite.
func suiteOf(name string) (suite, only string) {
	suite, only, _ = strings.Cut(name, "/")
	return suite, only
}
