package web

import (
	"context"
	"io"
	"iter"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// Reader is what the pages read. orchestrator/store has every method but those
// of Sums, whose answers are types of this package. Ids come from the address
// line: an error for one that the store does not hold is told from other errors
// by Options.Unknown.
type Reader interface {
	Lines
	Builds
	Runs
	Crashes
	Regressions
	Sums
}

// Lines are the followed branches.
type Lines interface {
	Upstreams(ctx context.Context) ([]string, error)
	// RecentCommits lists the line's commits below a position, newest first.
	// Position 0 stands for the end of the line.
	RecentCommits(ctx context.Context, upstream string, limit, beforePosition int) ([]orchestrator.Commit, error)
	// Commit finds a commit by its hash or the start of one.
	Commit(ctx context.Context, prefix string) (orchestrator.Commit, error)
}

// Builds are what was made of the commits, and what ran on it.
type Builds interface {
	// CommitBuilds lists the builds with an outcome of a commit.
	CommitBuilds(ctx context.Context, hash string) ([]orchestrator.Build, error)
	// RunsOfBuild lists all attempts of the runs of a build, newest first.
	RunsOfBuild(ctx context.Context, build string, limit int) ([]orchestrator.Run, error)
	// Tally counts the results of one case on one build and machine.
	Tally(ctx context.Context, key orchestrator.TallyKey) (verdict.Counts, error)
}

// Runs are what was and is being run.
type Runs interface {
	// Run finds a run by its id or the start of one.
	Run(ctx context.Context, prefix string) (orchestrator.Run, error)
	// Results lists what a run's cases have said so far, in their order.
	Results(ctx context.Context, run string) ([]suites.Result, error)
	RunCrashes(ctx context.Context, run string) ([]orchestrator.Crash, error)
	// RunArtifacts lists the files that the cases of a run kept.
	RunArtifacts(ctx context.Context, run string) ([]orchestrator.Artifact, error)
	RunningRuns(ctx context.Context) ([]orchestrator.Run, error)
	// OpenJobs lists the jobs without an outcome, those under way included.
	OpenJobs(ctx context.Context) ([]orchestrator.Job, error)
}

// Crashes are what the consoles showed, by signature.
type Crashes interface {
	// Crashes lists what is known of each signature, the last seen first.
	Crashes(ctx context.Context, limit int) ([]orchestrator.KnownCrash, error)
	// Crash finds what is known of a signature by that or the start of one.
	Crash(ctx context.Context, prefix string) (orchestrator.KnownCrash, error)
	// CrashRuns lists the runs that showed a signature, the last to finish first.
	CrashRuns(ctx context.Context, signature string, limit int) ([]orchestrator.Run, error)
}

// Regressions are what came of it.
type Regressions interface {
	// Regressions lists an upstream's regressions, or those of all for an empty
	// name.
	Regressions(ctx context.Context, upstream string, onlyOpen bool, limit int) ([]orchestrator.Regression, error)
	Regression(ctx context.Context, id int64) (orchestrator.Regression, error)
}

// Sums are counted by the store, because there is too much to count here.
type Sums interface {
	// Grid lists what is known of the commits, one point per commit and target
	// for which its inputs are known.
	Grid(ctx context.Context, commits []string) ([]Point, error)
	Totals(ctx context.Context) (Totals, error)
}

// Totals says how much the store holds.
type Totals struct {
	Commits, Builds, Runs int
	Results               api.Counts
}

// Point is one commit on one target.
type Point struct {
	Commit, Target string
	Build          orchestrator.Build // only ID is set while it has no outcome
	Runs           []RunTally         // running and finished ones of the build
}

// RunTally is a run with the number of its results.
type RunTally struct {
	Run    orchestrator.Run
	Counts api.Counts    // of the suite's own cases, without "boot"; none before it has finished
	Boot   suites.Status // what the case "boot" said; 0: nothing yet
}

// Live gives the consoles of runs that are under way in this process.
type Live interface {
	// Console returns false for a run that does not run here.
	Console(run string) (Console, bool)
}

// Console is a running machine's console log. Many may follow it, and none of
// them slows the machine down.
type Console interface {
	// Size is how many bytes have been said so far.
	Size() int64
	// Follow yields what was said from byte offset from on, then what is being
	// said, until the console has ended, ctx has, or the caller stops.
	Follow(ctx context.Context, from int64) iter.Seq2[Said, error]
	// Tail returns at most the last n bytes said.
	Tail(n int) string
}

// Said is a piece of a console.
type Said struct {
	Offset int64 // place of Data[0] in all that was said
	Data   []byte
	Missed int64 // bytes just before Offset that were not kept for this reader
}

// Nothing is a Live without a console: for a process that runs no machines.
type Nothing struct{}

// Console says that there is none.
func (Nothing) Console(string) (Console, bool) { return nil, false }

// KeptConsole opens the kept console of a finished run. When none was kept, the
// error wraps fs.ErrNotExist.
type KeptConsole func(ctx context.Context, run orchestrator.Run) (io.ReadCloser, error)
