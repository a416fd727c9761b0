// Package qemu boots images in QEMU: options become a command line by a pure
// function, QEMU runs it, and console, monitor (QMP) and agent are the three
// witnesses of what the guest does.
//
// The rig trusts none of them alone. QEMU's exit code says nothing about the
// guest; a clean end is the agent's end marker followed by QEMU's word that the
// guest powered itself off. QEMU runs sandboxed, never as root, in a process group
// of its own, and dies with this process, however that ends.
package qemu

import (
	"context"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// DefaultBinary is looked up on PATH.
const DefaultBinary = "qemu-system-x86_64"

// Config says which QEMU to run. The zero value takes the defaults.
type Config struct {
	Binary string       // name or path; empty: DefaultBinary
	Log    *slog.Logger // nil: nothing is logged
	// Passthrough is a folder for the journals of NICs that are passed through; see
	// runners/nic. Empty: link vfio is refused.
	Passthrough string
	// Templates is the folder that keeps frozen machines for later; empty: each lives
	// only while it is open.
	Templates string
	// TemplatesSize bounds the folder, in bytes; 0: DefaultTemplatesSize.
	TemplatesSize int64
	// NoSpare has each start make its clone when it is asked for. Else a template
	// that is started from often keeps one that is ready: for who cannot have a
	// second QEMU at work beside a machine.
	NoSpare bool
}

// Runner boots images in QEMU. It implements runners.Runner and is safe for
// concurrent use.
type Runner struct {
	name        string
	logger      *slog.Logger
	passthrough string

	probing sync.Mutex // held while probing
	accel   string     // what the probe found; empty: not probed yet
	detail  string
	paces   map[string]float64 // of each accelerator; see pace

	fencing sync.Once
	fenced  fence // see fence

	attic    *attic // templates that are kept
	shelving sync.Mutex
	shelf    map[string]*shelved // templates in use, by key
	portrait portrait
	noSpare  bool
	quiet    func() bool   // see raises; asked once
	flow     flow          // of every console
	silence  time.Duration // of Options, for tests; 0: by accelerator
}

var _ runners.Runner = (*Runner)(nil)

// New returns a runner. Nothing is started or looked up before it is needed.
func New(c Config) *Runner {
	if c.Binary == "" {
		c.Binary = DefaultBinary
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.TemplatesSize <= 0 {
		c.TemplatesSize = DefaultTemplatesSize
	}
	return &Runner{
		name: c.Binary, logger: c.Log, passthrough: c.Passthrough, noSpare: c.NoSpare, quiet: sync.OnceValue(raises), shelf: make(map[string]*shelved), flow: consoleFlow,
		attic: &attic{dir: c.Templates, limit: c.TemplatesSize, log: c.Log},
	}
}

// binary finds QEMU; without one the error is a *runners.InfraError.
func (r *Runner) binary() (string, error) {
	path, err := exec.LookPath(r.name)
	if err != nil {
		return "", notInstalled(r.name, err)
	}
	return path, nil
}

// Command is a command line that boots the same machine for a person: pasted
// into a shell it puts the console on the terminal (Ctrl-A x ends it), with
// nobody on the agent's channel. What a machine was really started with, sockets
// and all, is its Facts.Command. A request that makes no sense gives a comment
// that says why.
func (r *Runner) Command(b runners.Bootable, s runners.Spec) string {
	o, err := r.options(context.Background(), &b, s)
	if err != nil {
		return "# " + err.Error()
	}
	o.Person = true
	return Quote(o.Cmdline())
}
