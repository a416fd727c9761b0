// Package suites says what a suite, a case and a result are, and what a case
// needs of a guest. It holds the result words of the whole project.
//
// Cases are host code: they ask the guest's agent for small operations and judge
// what comes back, because the host also holds the wire, the console and QMP.
// Each suite lives in a package of its own below this one, with the operations
// it needs inside the guest in a package guest/ beside it. This package imports
// nothing of the project: a machine of runners/ satisfies Guest unseen.
package suites

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// Guest is a booted machine as a case sees it.
type Guest interface {
	// OS is "linux" or "freebsd".
	OS() string
	// CPUs is the number of virtual CPUs the machine was given.
	CPUs() int
	// Call performs one operation of the agent. args is marshalled to JSON and
	// the answer is unmarshalled into result (nil discards it). When the guest's
	// kernel refused (a system call failed), the error has a method
	// KernelRefused() string; any other error is the rig's.
	Call(ctx context.Context, op string, args, result any) error
	// Crashes lists the titles of the crashes found on the console so far.
	Crashes() []string
	// Wire is the host's end of the cable of NIC i, nil when its link has none in our
	// hands: a stream of frames, each behind its length in 4 bytes, big-endian.
	Wire(i int) net.Conn
	// MACs are the hardware addresses of its NICs, in their order: what a case knows an
	// interface by.
	MACs() []string
	// Starved is for how long the host has kept the guest from its CPUs since it
	// started: what it could not do in that time says nothing about its kernel. It
	// never falls, and stays 0 where the host does not tell.
	Starved() time.Duration
	// PowerOff asks the agent for a clean power-off and waits for it. It returns
	// nil only when the guest ended by itself, as a power-off, with its end
	// marker received. An error with KernelRefused means that the kernel did not
	// manage; any other is the rig's.
	PowerOff(ctx context.Context) error
}

// Suite is a group of cases that share a boot. They run in order, each on a machine of
// its own that descends from it: what one does to its machine no other one sees.
type Suite struct {
	Name    string
	Summary string
	// Version counts the changes after which a case could say something else of
	// the same kernel: results from before and after are not compared.
	Version int
	Cases   []Case
}

// Case is one check.
type Case struct {
	Name     string   // unique in its suite, [a-z0-9_]+
	Layer    Layer    // the layer in which it runs
	OSes     []string // empty: every OS
	Requires []string // what the machine must offer: "kvm", "smp>=2"
	Summary  string   // one line
	Timeout  time.Duration
	// Pressure says that the case looks for races: it wants its virtual CPUs disturbed
	// from outside while it runs, by its seed. Where that cannot be done it runs
	// without, and its output says so.
	Pressure bool
	// Timed says that the case judges how long something took. It has not failed when
	// the host kept the guest from its CPUs, and for that reason cannot have Pressure.
	Timed bool
	// Causes are titles of what a console's recognizer takes for a crash and the case
	// brings about on purpose, such as entering the kernel's debugger, without what the
	// report adds to its first line. The console does not take them for crashes then.
	Causes []string
	// Run returns nil when the case passed; an error of Failf when the kernel is
	// at fault, of Skipf when the case cannot run here. An error with
	// KernelRefused is the kernel's fault too. Anything else is the rig's: broken.
	Run func(ctx context.Context, t *T) error
}

// T is what a case works with.
type T struct {
	Guest Guest
	Rand  *rand.Rand // seeded by the run's seed and the case's name
	Seed  uint64     // the run's, by which a case can take a part of what is too much for one
	// Metrics collects what the case measured. Names are [a-z0-9_]+ and end in
	// their unit: completion_s, rate_bytes_per_s.
	Metrics map[string]float64
	// Report records the result of a part of the case, for cases that run a whole
	// foreign test suite; the part's name is the result's Case, "suite/part". No
	// name comes twice. After an error the case ends with it. Nil where only whole
	// cases can be recorded.
	Report func(r Result) error
	// Keep begins a file that is kept beside what the case said: a capture, a plot. Its
	// name is [a-z0-9_.-]+, does not begin with a dot, and is unique in the case. It
	// counts once Close has returned nil. A file or a run that takes too much is an error
	// of Write and Close, and so is a full disk: no reason for a case to fail, and its
	// output says so anyway. Files of a case that passed are kept while they are small:
	// a case need not know. Nil where nothing can be kept; see Save. Safe for concurrent
	// use until the case returns.
	Keep func(name, mediaType string) (io.WriteCloser, error)

	began   time.Time     // when Begin was called
	starved time.Duration // what the guest had starved until then
}

// Result is what a case said in one run.
type Result struct {
	Case     string             // "suite/case"
	Status   Status             //
	Reason   string             // empty for passed
	Duration time.Duration      //
	Metrics  map[string]float64 //
	Output   string             // what it printed, of limited length and for people only
}

// Operation is one thing that the agent can do for a case. It runs inside the
// guest. args is JSON as the case sent it. A returned error that wraps a
// syscall.Errno reaches the case as the kernel's refusal; any other as the
// agent's own fault.
type Operation func(ctx context.Context, args json.RawMessage) (any, error)
