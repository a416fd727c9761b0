package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// Source is an upstream: a local mirror of its history. orchestrator/watch
// implements it.
type Source interface {
	// Fetch brings the mirror up to date and says what is new since known, the
	// newest commit that the store has (empty: nothing yet, backfill at most the
	// configured number of commits).
	Fetch(ctx context.Context, known string) (Update, error)
	// Since gives the line from a commit on, which it includes. It asks nobody. A commit
	// that is not on it is ErrNotOnLine.
	Since(ctx context.Context, commit string) (Update, error)
	// TreeIDs gives the object id of each path in each commit's tree. A path that
	// a commit lacks is absent from its map.
	TreeIDs(ctx context.Context, commits []string, paths []string) (map[string]map[string]string, error)
	// Export writes the given paths of a commit's tree below dir, without .git.
	Export(ctx context.Context, commit string, paths []string, dir string) error
	// Resolve turns a revision (hash, abbreviation, branch) into a full hash.
	Resolve(ctx context.Context, rev string) (string, error)
}

// Sources opens upstreams by name. It gives the same Source for the same name.
type Sources func(ctx context.Context, upstream string) (Source, error)

// Poller tells cheaply whether an upstream's branch has moved.
type Poller interface {
	// Changed asks for the branch's head, and says whether it is another than the
	// one that Saw was told of last.
	Changed(ctx context.Context) (head string, changed bool, err error)
	// Saw says that everything up to head is taken care of.
	Saw(head string)
	// Next is how long to wait before asking again.
	Next() time.Duration
}

// Update is what a fetch found.
type Update struct {
	Head    string
	New     []Commit // first-parent order, oldest first
	Dropped []string // commits that a force-push took off the line
	Note    string   // for the log: history was rewritten, known head is missing, …
}

// Queue hands jobs to workers. orchestrator/queue implements it on JetStream.
type Queue interface {
	// Publish queues a job. A job that is queued or leased already stays as it is.
	Publish(ctx context.Context, j Job) error
	// Next waits for a job.
	Next(ctx context.Context) (Lease, error)
	// Rebuild makes the queue hold exactly these jobs, none of them leased: what
	// the owner of a state directory does at start, since the store is the truth.
	Rebuild(ctx context.Context, jobs []Job) error
}

// Lease is a job in a worker's hands. It is kept alive until Done,
// Return or Drop.
type Lease interface {
	Job() Job
	// Done takes the job off the queue, after what it produced is stored.
	Done(ctx context.Context) error
	// Return gives the job back, to be handed out again after delay.
	Return(ctx context.Context, delay time.Duration) error
	// Drop lets go of a job that another attempt has taken over.
	Drop()
}

// What Journal says of a job that is not the caller's to carry out.
var (
	// ErrJobDone: its outcome is stored already.
	ErrJobDone = errors.New("job is done")
	// ErrUnknownJob: it was never planned.
	ErrUnknownJob = errors.New("job is not planned")
	// ErrAbandoned: another attempt has taken over.
	ErrAbandoned = errors.New("run is abandoned: another attempt of its job has taken over")
)

// Journal records what a worker does. Every method is one transaction, on disk
// when it returns, and idempotent: the same outcome twice changes nothing.
type Journal interface {
	// BeginBuild and BeginRun start the next attempt of a job and abandon the one
	// before. They return ErrJobDone when the job has its outcome.
	BeginBuild(ctx context.Context, j Job) (attempt int, err error)
	BeginRun(ctx context.Context, j Job, host string, now time.Time) (Run, error)
	// AddResult stores one result of a running attempt.
	AddResult(ctx context.Context, run string, r suites.Result) error
	// FinishRun stores the run's end, its crashes and its artifacts and ends the job.
	FinishRun(ctx context.Context, r Run, crashes []Crash, artifacts ...Artifact) error
	// FinishBuild stores the build and ends the job.
	FinishBuild(ctx context.Context, j Job, b Build) error
}

// Plans is what planning reads and writes.
type Plans interface {
	// View reads all that is known of a target on an upstream, with the evidence
	// of one rig.
	View(ctx context.Context, upstream, target string, rig Rig) (View, error)
	// Apply stores a decision: selections, jobs, verdicts and regressions, in one
	// transaction.
	Apply(ctx context.Context, d Decision) error
	// Evidence names the first finished run in which a case failed, and what it
	// said; empty when there is none.
	Evidence(ctx context.Context, k TallyKey) (run, reason string, err error)
	// OpenJobs lists the jobs without an outcome, oldest first.
	OpenJobs(ctx context.Context) ([]Job, error)
	// DropJobs ends jobs without an outcome: their rig is gone.
	DropJobs(ctx context.Context, ids []string) error
}

// Bisections is what searches for culprits read and write.
type Bisections interface {
	// AddBisection stores a search, or finds the one that is stored with the same
	// ends and aim, and gives it as it is stored.
	AddBisection(ctx context.Context, b Bisection) (Bisection, error)
	// Bisections lists those of a target that run, oldest first.
	Bisections(ctx context.Context, upstream, target string) ([]Bisection, error)
	// EndBisection stores how one ended. One that has ended stays as it is.
	EndBisection(ctx context.Context, b Bisection) error
	// Observed lists the runs of a bisection's case with one rig, whoever asked for
	// them, in the order of their planning.
	Observed(ctx context.Context, b Bisection, rig string) ([]Observed, error)
}

// Commits is what discovery reads and writes.
type Commits interface {
	Head(ctx context.Context, upstream string) (string, error) // empty: none yet
	AddUpdate(ctx context.Context, upstream string, u Update) error
	// Unresolved lists the line's commits, newest first and at most limit, whose
	// inputs for the target with that salt are not known.
	Unresolved(ctx context.Context, upstream, target, salt string, limit int) ([]string, error)
	// SetInputs stores the digest of the build inputs of each commit.
	SetInputs(ctx context.Context, target, salt string, inputs map[string]string) error
}

// Store is everything that the stages keep. orchestrator/store implements it.
type Store interface {
	Commits
	Journal
	Plans
	Bisections
}

// View is what the store knows of one target on one upstream, as far as one rig
// saw it.
type View struct {
	Upstream    string
	Target      string
	Rig         Rig
	Line        []Commit             // first-parent order, oldest first; only commits whose inputs are known
	Inputs      map[string]string    // commit → build id
	Selected    map[string]Selection // commit → why and how far it is tested
	Stale       map[string]bool      // commits that were selected for another rig
	Builds      map[string]Build     // build id → build with an outcome
	BuildTries  map[string]Tries
	Tallies     map[TallyKey]verdict.Counts
	Runs        map[RunKey]RunCounts
	Regressions []Regression
	Known       []Known // as the last plan left it

	excused map[TallyKey]bool // results that known failures account for: see excuse
}

// TallyKey names one case on one build on one machine. Case "boot" has a tally
// too.
type TallyKey struct{ Build, Machine, Case string }

// RunKey names the runs of one suite in one layer on one build and machine.
type RunKey struct {
	Build, Machine, Suite string
	Layer                 suites.Layer
}

// RunCounts counts the runs of one suite. Planned includes those under way and
// queued, Recent are the broken ones since the commit was last selected. Dropped
// jobs never ran, or on another image; with Planned they make the next repeat's
// number.
type RunCounts struct{ Finished, Broken, Recent, Planned, Dropped int }

// Tries counts the jobs of one build that are done: all, whose number is the next
// job's, those that made nothing since its commit was last selected, and those
// that asked for a clean build.
type Tries struct{ Done, Futile, Clean int }

// Decision is what planning decided. Everything in it is idempotent.
type Decision struct {
	Upstream    string
	Target      string
	Rig         string // digest of the rig that it is for
	Select      []Selection
	Jobs        []Job
	Verdicts    []Judgement
	Regressions []Regression // ID 0: new; else an update
	Known       []Known      // all there are; nil: they were not looked at
}

// Judgement is the verdict on one case of one build.
type Judgement struct {
	TallyKey
	Verdict verdict.Verdict
	Counts  verdict.Counts
}
