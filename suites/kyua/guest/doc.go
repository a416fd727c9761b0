// Package guest is the kyua suite's part inside the guest: it runs kyua(1),
// hands out what kyua prints while it prints it, and then the results file in
// chunks. Reading and judging results is the host's, in package kyua. The types
// of this file are what goes between the two; they are compiled into both ends.
//
// No error of these operations wraps an errno. A full disk or a program that is
// not there is no finding about the kernel; what kyua's tests find is.
package guest

// Names of the operations.
const (
	OpStart   = "kyua/start"
	OpPoll    = "kyua/poll"
	OpFetch   = "kyua/fetch"
	OpCleanup = "kyua/cleanup"
)

// ChunkBytes is the size of every chunk of a results file but the last, which is
// smaller. In base64 it fits a frame.
const ChunkBytes = 512 << 10

// StartArgs says what to run: kyua test in Dir, where a Kyuafile is.
type StartArgs struct {
	Dir       string   `json:"dir"`
	Filters   []string `json:"filters"`   // program, folder, or program:case; none: everything
	Variables []string `json:"variables"` // kyua's configuration, NAME=VALUE
	Env       []string `json:"env"`       // NAME=VALUE, on top of PATH and HOME
	// TimeoutS is how long kyua may run, in seconds. Then it is told to stop.
	TimeoutS float64 `json:"timeout_s"`
}

// Started names the run. Exactly one of the two is set.
type Started struct {
	Run     string `json:"run"`
	Missing string `json:"missing"` // what the guest lacks; nothing was started
}

// PollArgs asks for what kyua printed from byte Offset on.
type PollArgs struct {
	Run    string `json:"run"`
	Offset int64  `json:"offset"`
	// WaitS is how long to wait for something to tell, in seconds.
	WaitS float64 `json:"wait_s"`
}

// Progress is a part of kyua's log, and the end of the run once all of the log was
// told.
type Progress struct {
	// From is where Log begins. More than was asked for: the guest keeps only the
	// log's end, and what lies between is lost.
	From int64  `json:"from"`
	Log  string `json:"log"`
	Next int64  `json:"next"` // the offset to ask for next
	End  *End   `json:"end,omitempty"`
}

// End is how kyua ended.
type End struct {
	Exit     int    `json:"exit"`   // exit code; -1 when a signal ended it
	Signal   string `json:"signal"` // the signal, or empty
	TimedOut bool   `json:"timed_out"`
	// Fault is why there is no results file to fetch, or empty.
	Fault     string  `json:"fault"`
	DurationS float64 `json:"duration_s"`
	// The results file. Its digest is the SHA-256 in hex.
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// FetchArgs asks for the chunk of the results file at Offset.
type FetchArgs struct {
	Run    string `json:"run"`
	Offset int64  `json:"offset"`
}

// Chunk is a part of the results file.
type Chunk struct {
	Data []byte `json:"data"`
}

// CleanupArgs ends a run, if need be by force, and removes what it left.
type CleanupArgs struct {
	Run string `json:"run"`
}
