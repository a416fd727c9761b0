// Package api holds the JSON documents of the dashboard and a client for them.
// The command line tools print the same types, so that a script reads one
// format wherever it comes from: keys are snake_case, durations are seconds,
// times are RFC 3339 in UTC. Fields are added, never renamed.
//
// Nothing of the project is imported here: a program that talks to a lab's
// server needs these types and nothing else.
package api

import "time"

// Paths of the documents below a server's base URL.
const (
	PathHealth      = "/healthz"
	PathOverview    = "/api/v1/overview"
	PathRegressions = "/api/v1/regressions"
	PathRuns        = "/api/v1/runs/"    // + run id
	PathCommits     = "/api/v1/commits/" // + commit hash
	PathCrashes     = "/api/v1/crashes"  // all; + "/" + signature for one
)

// Health says whether the server answers and what it holds.
type Health struct {
	Status          string    `json:"status"` // "ok"; anything else comes with an error
	Now             time.Time `json:"now"`
	Running         int       `json:"running"` // runs under way
	OpenJobs        int       `json:"open_jobs"`
	Commits         int       `json:"commits"`
	Builds          int       `json:"builds"`
	Runs            int       `json:"runs"`
	Results         Counts    `json:"results"`
	OpenRegressions int       `json:"open_regressions"` // not withdrawn, not fixed
}

// Overview is the first page: what runs, what broke, and a grid per upstream.
type Overview struct {
	Health      Health       `json:"health"`
	Regressions []Regression `json:"regressions"` // open ones first, none withdrawn
	Running     []RunSummary `json:"running"`
	Upstreams   []Upstream   `json:"upstreams"`
}

// Upstream is one followed branch with its newest commits.
type Upstream struct {
	Name    string      `json:"name"`
	Columns []Column    `json:"columns"`
	Commits []CommitRow `json:"commits"` // newest first
}

// Column names what a cell is about. Name is "build", "boot" or a suite's name;
// Machine is empty for "build".
type Column struct {
	Target  string `json:"target"`
	Machine string `json:"machine,omitempty"`
	Name    string `json:"name"`
}

// CommitRow is a commit and what is known of it, one cell per column that has
// been reached.
type CommitRow struct {
	Hash     string    `json:"hash"`
	Parent   string    `json:"parent,omitempty"`
	Position int       `json:"position"`
	Author   string    `json:"author"`
	Time     time.Time `json:"time"`
	Subject  string    `json:"subject"`
	Cells    []Cell    `json:"cells"`
}

// Cell is one commit in one column.
type Cell struct {
	Column
	// Status is passed, failed, broken or skipped when something has finished,
	// "running" while the first run is under way, "waiting" while a build or run
	// is planned.
	Status string `json:"status"`
	Run    string `json:"run,omitempty"`   // the newest run; empty for "build"
	Build  string `json:"build,omitempty"` // inputs digest
	// SharedWith is another shown commit with the same build, whose runs these
	// are too; empty: none.
	SharedWith string `json:"shared_with,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Counts     Counts `json:"counts,omitzero"` // of results; for "boot" of boots
}

// Counts are numbers of results by their word.
type Counts struct {
	Passed          int `json:"passed"`
	Failed          int `json:"failed"`
	Broken          int `json:"broken"`
	Skipped         int `json:"skipped"`
	ExpectedFailure int `json:"expected_failure"`
}

// Total is the number of all results counted.
func (c Counts) Total() int {
	return c.Passed + c.Failed + c.Broken + c.Skipped + c.ExpectedFailure
}

// Add adds the numbers of d.
func (c *Counts) Add(d Counts) {
	c.Passed += d.Passed
	c.Failed += d.Failed
	c.Broken += d.Broken
	c.Skipped += d.Skipped
	c.ExpectedFailure += d.ExpectedFailure
}

// RunSummary is a run without what its cases said.
type RunSummary struct {
	Run       string    `json:"run"`
	Suite     string    `json:"suite"`
	Layer     string    `json:"layer,omitempty"`
	Repeat    int       `json:"repeat"`
	Commit    string    `json:"commit"`
	Target    string    `json:"target"`
	Machine   string    `json:"machine"`
	Build     string    `json:"build"`
	State     string    `json:"state"` // running, finished or abandoned
	Status    string    `json:"status,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Host      string    `json:"host,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	DurationS float64   `json:"duration_s,omitempty"`
}

// Run is one suite on one machine made from one image: the `run` document of
// every command that runs something.
type Run struct {
	Run     string   `json:"run"`
	Image   string   `json:"image"`
	Suite   string   `json:"suite"`
	Seed    uint64   `json:"seed"`
	Status  string   `json:"status"` // passed, failed, broken or skipped; empty until finished
	Results []Result `json:"results"`
	Crashes []Crash  `json:"crashes"`

	State     string    `json:"state"`            // running, finished or abandoned
	Reason    string    `json:"reason,omitempty"` // why the status is broken
	Job       string    `json:"job"`
	Attempt   int       `json:"attempt"`
	Repeat    int       `json:"repeat"`
	Layer     string    `json:"layer,omitempty"`
	Upstream  string    `json:"upstream,omitempty"`
	Commit    string    `json:"commit"`
	Build     string    `json:"build,omitempty"`
	Target    string    `json:"target"`
	Machine   string    `json:"machine"`
	Spec      *Machine  `json:"spec,omitempty"` // what the machine was at the time
	Kernel    string    `json:"kernel,omitempty"`
	Accel     string    `json:"accel,omitempty"`
	Monitor   string    `json:"monitor,omitempty"`
	BootID    string    `json:"boot_id,omitempty"`
	BootTimeS float64   `json:"boot_time_s,omitempty"`
	Host      string    `json:"host,omitempty"`
	Command   string    `json:"command,omitempty"` // exact command line of the monitor
	Reproduce string    `json:"reproduce"`         // command that does the same again
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
}

// Machine is what an image was booted on.
type Machine struct {
	SMP     int    `json:"smp"`             // virtual CPUs
	Memory  int    `json:"memory_mib"`      // MiB
	Accel   string `json:"accel"`           // as asked for: auto, kvm or tcg
	Control string `json:"control"`         // the agent's channel: virtio or serial
	Clock   string `json:"clock,omitempty"` // empty: the host's; virtual: runs ahead while the guest idles
	// Lines are serial lines besides the console.
	Lines []string `json:"lines,omitempty"`
	NICs  []NIC    `json:"nics"`
}

// NIC is how a machine is attached.
type NIC struct {
	Model    string `json:"model"` // for link vfio the PCI address of a NIC of the host
	Link     string `json:"link"`
	MAC      string `json:"mac,omitempty"`
	Queues   int    `json:"queues,omitempty"`
	MTU      int    `json:"mtu,omitempty"`
	TSO      string `json:"tso,omitempty"`
	LRO      string `json:"lro,omitempty"`
	Checksum string `json:"checksum,omitempty"`
	Bridge   string `json:"bridge,omitempty"`
	Port     string `json:"port,omitempty"`
}

// Result is what one case said. Case is "suite/case".
type Result struct {
	Case      string             `json:"case"`
	Status    string             `json:"status"`
	Reason    string             `json:"reason"`
	DurationS float64            `json:"duration_s"`
	Metrics   map[string]float64 `json:"metrics"`
	Output    string             `json:"output,omitempty"` // what it printed
	Artifacts []Artifact         `json:"artifacts,omitempty"`
}

// Artifact is a file that a case kept for people to look at.
type Artifact struct {
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	SizeBytes int64  `json:"size_bytes"`
	SHA256    string `json:"sha256"`
	URL       string `json:"url,omitempty"`  // below the server's base URL
	Path      string `json:"path,omitempty"` // of the file, for a run by hand
}

// Crash is a crash found on a run's console.
type Crash struct {
	Title     string  `json:"title"`
	Signature string  `json:"signature"`
	Kind      string  `json:"kind"`   // fatal, lock_order, memory, leak, hang, warning, …; empty: not told
	Where     string  `json:"where"`  // file:line; empty: unknown
	Frames    []Frame `json:"frames"` // of the first backtrace, innermost first
	Text      string  `json:"text,omitempty"`
}

// Frame is a function of a backtrace.
type Frame struct {
	Func    string `json:"func"`              // empty: the kernel had no name
	File    string `json:"file,omitempty"`    // relative to the source root; empty: unknown
	Line    int    `json:"line,omitempty"`    // 0: unknown
	Inlined bool   `json:"inlined,omitempty"` // into the frame that follows
}

// KnownCrash is what is known of all crashes with one signature. Title, kind,
// where, frames and text are of the last of them.
type KnownCrash struct {
	Crash
	Runs    int          `json:"runs"`     // that showed it
	LastRun string       `json:"last_run"` // the last of them
	First   time.Time    `json:"first"`    // when it was first seen
	Last    time.Time    `json:"last"`     // when it was last seen
	Places  []CrashPlace `json:"places"`
	// Seen are the newest of the runs that showed it; absent in the list of all.
	Seen []RunSummary `json:"seen,omitempty"`
}

// CrashPlace says where on an upstream's line, on one target, a crash was seen.
type CrashPlace struct {
	Upstream    string `json:"upstream"`
	Target      string `json:"target"`
	Runs        int    `json:"runs"`
	FirstCommit string `json:"first_commit,omitempty"` // the oldest by the line's order; absent: not on the line any more
	LastCommit  string `json:"last_commit,omitempty"`  // the newest
}

// Regression is a case that turned bad at some commit.
type Regression struct {
	ID             int64     `json:"id"`
	Upstream       string    `json:"upstream"`
	Target         string    `json:"target"`
	Machine        string    `json:"machine,omitempty"`
	Case           string    `json:"case"`
	State          string    `json:"state"` // open, located, ranged, fixed or withdrawn
	Good           string    `json:"good"`
	Bad            string    `json:"bad"`
	Culprit        string    `json:"culprit,omitempty"`
	CulpritSubject string    `json:"culprit_subject,omitempty"`
	CulpritAuthor  string    `json:"culprit_author,omitempty"`
	FixedBy        string    `json:"fixed_by,omitempty"` // oldest newer commit known good
	Confidence     float64   `json:"confidence"`         // 0 until located
	Reason         string    `json:"reason,omitempty"`
	Run            string    `json:"run,omitempty"`
	Opened         time.Time `json:"opened,omitzero"`
	Closed         time.Time `json:"closed,omitzero"`
}

// Commit is one commit with its builds and their runs.
type Commit struct {
	CommitRow
	Upstream string       `json:"upstream"`
	Builds   []Build      `json:"builds"`
	Runs     []RunSummary `json:"runs"`
}

// Build is a target made from a commit.
type Build struct {
	Build     string    `json:"build"`
	Target    string    `json:"target"`
	Commit    string    `json:"commit"` // the commit that it was first made from
	Status    string    `json:"status,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Image     string    `json:"image,omitempty"`
	OS        string    `json:"os,omitempty"`
	DurationS float64   `json:"duration_s"`
	Finished  time.Time `json:"finished,omitzero"`
}

// Failure is the body of every answer that is not a success.
type Failure struct {
	Error Error `json:"error"`
}

// Error says what went wrong. Code is a word for programs: not_found,
// bad_request, method_not_allowed, unavailable, busy or internal.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"-"` // of HTTP
}

func (e *Error) Error() string { return e.Message }
