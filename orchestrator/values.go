// Package orchestrator takes a commit to a verdict. It holds the domain values
// and the stage functions, one per arrow of
//
//	commit → build → image → machine → run → results → verdict → regression
//
// Planning is a pure function of what the store holds (plan.go), so a process
// that is killed at any instant goes on where the store says it was. Effects sit
// behind the small interfaces of ports.go, which the packages below implement.
package orchestrator

import (
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// Commit is one upstream commit on the branch's first-parent line.
type Commit struct {
	Upstream string
	Hash     string // full object id
	Parent   string // first parent; empty for a root
	Position int    // place on the first-parent line, the root is 1
	Author   string
	Email    string
	Time     time.Time // committer's time
	Subject  string
	// Beyond says that it is older than what is followed: it is on the line because a
	// search begins there.
	Beyond bool
}

// Reason says why a commit is tested on a target. The zero value is invalid.
type Reason string

// Why a commit is tested.
const (
	ByNewest   Reason = "newest"   // it was the branch's head at a pass
	ByEvery    Reason = "every"    // the upstream asks for every commit
	BySearch   Reason = "search"   // a search for a culprit wants it
	ByBaseline Reason = "baseline" // the newest that was tested before the rig changed
	ByHand     Reason = "hand"     // somebody asked
)

// Selection is a commit chosen for testing on a target.
type Selection struct {
	Commit string
	Target string
	Reason Reason
	Upto   suites.Layer // the highest layer wanted; 0: all
}

// covers says whether a selection up to one layer includes another.
func covers(upto, layer suites.Layer) bool { return upto == 0 || layer <= upto }

// wider is the higher of two selections' bounds.
func wider(a, b suites.Layer) suites.Layer {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// Build is a target made from a commit, identified by the digest of its inputs:
// commits with equal inputs share a build.
type Build struct {
	ID     string // hex digest of the inputs
	Target string
	Commit string        // the commit that it was first made from
	Status suites.Status // Passed, Failed (source at fault), Broken (rig's fault), Skipped (not to be had)
	Reason string
	Image  string // image id; empty unless Passed
	OS     string
	// Incremental says that objects of earlier builds were used. Nobody is accused
	// by such a build alone: a clean one replaces it.
	Incremental bool
	Log         string // path of the kept log below the state directory
	Duration    time.Duration
	Finished    time.Time
}

// JobKind says what a job does. The zero value is invalid.
type JobKind string

// Kinds of job.
const (
	BuildJob JobKind = "build"
	RunJob   JobKind = "run"
)

// Job is one piece of work for a worker. Its ID is a function of the other
// fields, so that planning twice makes the same job.
type Job struct {
	ID       string  `json:"id"` // [a-z0-9-]+, at most 100 bytes
	Kind     JobKind `json:"kind"`
	Upstream string  `json:"upstream"`
	Commit   string  `json:"commit"` // the commit to build from, or that the run is about
	Target   string  `json:"target"`
	Build    string  `json:"build"`           // inputs digest
	Clean    bool    `json:"clean,omitempty"` // for builds: use no objects of earlier ones
	// The rest is for runs.
	Image   string            `json:"image,omitempty"`
	Machine string            `json:"machine,omitempty"` // name in the pipeline
	Def     *pipeline.Machine `json:"def,omitempty"`     // the machine as it was defined when the run was planned
	Rig     string            `json:"rig,omitempty"`     // digest of the rig whose evidence this is
	Suite   string            `json:"suite,omitempty"`
	Layer   suites.Layer      `json:"layer,omitempty"`
	Repeat  int               `json:"repeat,omitempty"` // from 0; each is a cold boot of its own
	Seed    uint64            `json:"seed,omitempty"`
	// The rest is for what a bisection asks for.
	Bisection int64  `json:"bisection,omitempty"` // its id
	Case      string `json:"case,omitempty"`      // the only case to run; empty: all of the suite's layer
	Boot      int    `json:"boot,omitempty"`      // number of the cold boot, from 1; 0: Repeat says which
	Confirm   bool   `json:"confirm,omitempty"`   // it confirms an answer
}

// caseBoots keeps the cold boots of runs of one case apart from those of suites.
const caseBoots = 1 << 16

// ordinal says which of an image's cold boots a run is about.
func (j Job) ordinal() int {
	if j.Boot > 0 {
		return caseBoots + j.Boot
	}
	return j.Repeat
}

// cases lists what a run is to run: of a boot, nothing more.
func (j Job) cases(all []suites.Suite) []suites.Case {
	if j.Case == CaseBoot {
		return nil
	}
	_, only := suiteOf(j.Case)
	return CasesOf(all, j.Suite, j.Layer, only)
}

// RunState says how far a run is. The zero value is invalid.
type RunState string

// States of a run.
const (
	RunRunning   RunState = "running"
	RunFinished  RunState = "finished"
	RunAbandoned RunState = "abandoned" // its worker died; another attempt took over, its results do not count
)

// Run is one suite on one machine made from one image, with a seed. (Job,
// Attempt) is unique; ID is a digest of both.
type Run struct {
	ID       string // 12 hex digits
	Job      Job
	Attempt  int // from 1
	State    RunState
	Status   suites.Status // set when finished
	Reason   string        // why, when Status is Broken
	Started  time.Time
	Finished time.Time
	BootID   string
	Kernel   string
	Accel    string
	Monitor  string
	BootTime time.Duration
	Command  string // exact command line of the virtual machine monitor
	Host     string
	Console  string // path of the kept console log below the state directory
}

// RegressionState says how far a regression is. The zero value is invalid.
type RegressionState string

// States of a regression.
const (
	Suspected RegressionState = "open"      // bad after good; the culprit is searched
	Located   RegressionState = "located"   // the culprit is known and confirmed
	Ranged    RegressionState = "ranged"    // only a range is known: what is between cannot be told
	Fixed     RegressionState = "fixed"     // located or ranged, and a newer commit is good
	Withdrawn RegressionState = "withdrawn" // more runs did not bear it out
)

// Regression is a case that turned bad at some commit.
type Regression struct {
	ID         int64
	Upstream   string
	Target     string
	Machine    string // empty for case "build"
	Case       string // "suite/case", "build" or "boot"
	State      RegressionState
	Good       string // newest commit known good before it; empty: none is known
	Bad        string // oldest commit known bad
	Culprit    string // set when located
	FixedBy    string // oldest newer commit known good; set when fixed
	Confidence float64
	Reason     string // what the failing case said first
	Run        string // a failing run; empty for case "build"
	Opened     time.Time
	Closed     time.Time // when it left the state open; zero while open
}
