// Package guest is what the agent does with terminals for a case: a storm of workers
// that write, open, close, revoke and switch consoles at the same time, and an account
// of what is open. The types of this file are what goes between host and guest; they
// are compiled into both ends.
//
// A worker never judges. It counts what it did, what the kernel answered, and how long
// it had to wait, and says in which call it still is when the storm is over.
package guest

// Names of the operations.
const (
	OpStorm = "console/storm"
	OpOpen  = "console/open"
)

// Limits of the operations.
const (
	MaxWorkers  = 64   // threads of a storm
	MaxDuration = 3600 // seconds of a storm
	MaxWriters  = 5    // that Line tells from each other
	MaxLines    = 1 << 20
	MaxErrnos   = 32 // kinds of answers that a thread counts
)

// Kinds of workers.
const (
	Lines    = "lines"    // writes numbered lines to Path, one write(2) each
	Echo     = "echo"     // reads from Path, in raw mode, and counts bytes
	Kernel   = "kernel"   // makes the kernel say a line: a message on Linux, a process that dies of a signal on FreeBSD
	Ptys     = "ptys"     // makes, opens, uses and closes pseudo-terminals that all threads share
	Sessions = "sessions" // gives a terminal to a session, lets its leader die, awaits its readers
	Diverts  = "diverts"  // sends the console's output to a pseudo-terminal and back (TIOCCONS)
	Opens    = "opens"    // opens and closes Path
	Lists    = "lists"    // reads the file or sysctl Path
	Sets     = "sets"     // writes Values to the file or sysctl Path, in random order; the first one last
	Memory   = "memory"   // takes memory, touches it and gives it back
)

// StormArgs says what to do at once.
type StormArgs struct {
	Seed      uint64   `json:"seed"`
	DurationS float64  `json:"duration_s"` // 0: until all have done their Count
	GraceS    float64  `json:"grace_s"`    // how long those are awaited that are in the kernel then
	Workers   []Worker `json:"workers"`
	// Fault is one that the agent plants at the system-call boundary, so that a case can
	// be seen to find it. Nil: none.
	Fault *Fault `json:"fault,omitempty"`
}

// Worker is a number of threads that do the same.
type Worker struct {
	Kind    string   `json:"kind"`
	Threads int      `json:"threads,omitempty"` // 0: one
	Path    string   `json:"path,omitempty"`
	Values  []string `json:"values,omitempty"`
	Count   int      `json:"count,omitempty"`  // operations of each thread; 0: until the time is over
	Rate    float64  `json:"rate,omitempty"`   // operations a second of each thread at most; 0: any
	Writer  int      `json:"writer,omitempty"` // of Lines: the first thread's number, from 0
	// Endures says that a device may go away under the worker, which opens it again.
	Endures bool `json:"endures,omitempty"`
	Revokes bool `json:"revokes,omitempty"` // of Ptys: takes them away from their users, too
	MiB     int  `json:"mib,omitempty"`     // of Memory
}

// Storm is what came of it.
type Storm struct {
	Work      []Work  `json:"work"` // of each thread, in the order of the workers
	DurationS float64 `json:"duration_s"`
}

// Work is what one thread did.
type Work struct {
	Kind     string         `json:"kind"`
	Path     string         `json:"path,omitempty"`
	Ops      int64          `json:"ops"`
	Bytes    int64          `json:"bytes,omitempty"`
	Errnos   map[string]int `json:"errnos,omitempty"` // what calls were refused with
	SlowestS float64        `json:"slowest_s"`        // the longest single call
	Slowest  string         `json:"slowest,omitempty"`
	// Stuck is the call in which the thread still was after the grace, InS for how long;
	// empty: it has ended.
	Stuck string  `json:"stuck,omitempty"`
	InS   float64 `json:"in_s,omitempty"`
	// Died are the processes that the worker let die of a signal, by id, at most MaxDied
	// of them.
	Died []int `json:"died,omitempty"`
}

// MaxDied bounds Work.Died.
const MaxDied = 4096

// Open is what is open in the guest, as far as terminals are concerned.
type Open struct {
	FDs       int `json:"fds"`       // of the agent
	Ptys      int `json:"ptys"`      // pseudo-terminals of the system
	Terminals int `json:"terminals"` // all that the kernel knows; 0: it does not say
	// Left are pseudo-terminals, at most MaxLeft of them, with what the kernel says of them.
	Left []string `json:"left,omitempty"`
}

// MaxLeft bounds Open.Left.
const MaxLeft = 16

// Faults, by name. Every is one occasion in so many; where it hits follows from the
// storm's seed.
const (
	LoseLine   = "lose_line"   // a line is taken, and never said
	TearLine   = "tear_line"   // a line's end is said after the next line
	SwapLines  = "swap_lines"  // a line is said after the next one
	TwiceLine  = "twice_line"  // a line is said twice
	TearKernel = "tear_kernel" // a line of the kernel stops in its middle
	NeverWoken = "never_woken" // a call does not return
	LeakFD     = "leak_fd"     // a close does nothing
	Panic      = "panic"       // the kernel panics when a terminal ends while somebody opens or uses it
)

// Fault is one to be planted.
type Fault struct {
	Name  string `json:"name"`
	Every int    `json:"every"` // at least 1
}
