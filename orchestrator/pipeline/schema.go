// Package pipeline reads pipelines.yaml: what is followed, what is built from
// it, on which machines it boots and which suites run. It is pure but for the
// reading of the file, and imports nothing of the project but the result words.
//
// A file that Load or Parse returns is valid as a whole: every reference is
// defined, every number in range, every combination of the matrix possible.
// Otherwise all that is wrong is reported at once, as an *Error with the place
// of each problem.
package pipeline

import (
	"time"

	"github.com/headwatch/headwatch/suites"
)

// File is a whole pipelines.yaml, valid and with defaults filled in. Names are
// the keys of the maps in the file; each value repeats its own. Lists that the
// file leaves out or empty are nil.
type File struct {
	Path      string // as given; "(built-in)" for the embedded default
	Upstreams map[string]Upstream
	Targets   map[string]Target
	Machines  map[string]Machine
	Layers    map[suites.Layer]Layer
	Matrix    []Entry
	Schedules map[string]Schedule
	Notify    map[string]Sink
	Kyua      Kyua
}

// Kyua says what the suite kyua runs of FreeBSD's own tests. The zero value is all
// of them.
type Kyua struct {
	Tests     []string      // programs, folders or program:case, below /usr/tests
	Variables []string      // kyua's configuration, NAME=VALUE
	Timeout   time.Duration // of all tests together; 0: the suite's
	// Expected is the path of a list of expected failures, relative to the file's
	// folder. Empty: none.
	Expected string
}

// Upstream is a followed repository and branch. Exactly one of GitHub and Git is
// set.
type Upstream struct {
	Name   string
	GitHub string // "owner/name"
	// Git is a URL, host:path or path that git understands. A relative path is
	// below the state directory: see Remote.
	Git      string
	Branch   string        // default "main"
	Poll     time.Duration // 1s to 168h, default 5m
	Commits  string        // "newest" (default): a pass tests the head; "every": each commit
	Backfill int           // commits taken at the first look, 1 to 10000, default 1
}

// Target is what is built from a commit.
type Target struct {
	Name   string
	OS     string // "linux" or "freebsd"
	Arch   string // "amd64" or "arm64"
	Source string // "package" (linux), "tree" or "artifacts" (freebsd)
	// Kernel selects the packaged kernel, for source package only: "cloud",
	// "generic" or the absolute path of a folder with boot/ and lib/modules/.
	Kernel    string
	Base      string   // source artifacts only: URL below which they are published
	Config    string   // source tree only: GENERIC, MINIMAL, …
	Fragments []string // source tree only: lines added to the configuration
	World     bool     // freebsd only: userland too; needs boot loader
	TestImage bool     // source artifacts only: the CI's own test image, as published
	Boot      string   // "direct" (default for linux) or "loader" (default for freebsd)
	Overlay   string   // folder of the commit's tree that configures the guest
	Cmdline   []string // kernel arguments; for freebsd settings of loader.conf, name=value
	Modules   []string // modules loaded at boot
}

// Machine is what an image boots on.
type Machine struct {
	Name    string `json:"name"`
	SMP     int    `json:"smp"`             // virtual CPUs, 1 to 64, default 2
	Memory  int    `json:"memory"`          // MiB; written as "512M" or "2G"; 128M to 64G, default 512M
	Accel   string `json:"accel"`           // "auto" (default), "kvm" or "tcg"
	Control string `json:"control"`         // "virtio" (default) or "serial"
	Clock   string `json:"clock,omitempty"` // empty: the host's, which files call "host"; or "virtual"
	// Lines are serial lines besides the console: "uart", "virtio", each once.
	Lines []string `json:"lines,omitempty"`
	NICs  []NIC    `json:"nics,omitempty"` // at most 8
}

// NIC is a device model on a link: "virtio-net", "e1000@user" or
// "virtio-net@tap,queues=4,mtu=9000". Options that are left out are zero. Its
// fields are those of runners.NIC, to which it converts.
type NIC struct {
	Model    string `json:"model"`              // for link vfio the PCI address of a NIC of the host
	Link     string `json:"link"`               // default "user"
	MAC      string `json:"mac,omitempty"`      // option mac
	Queues   int    `json:"queues,omitempty"`   // option queues, 1 to 64
	MTU      int    `json:"mtu,omitempty"`      // option mtu, bytes
	TSO      string `json:"tso,omitempty"`      // option tso, "on" or "off"
	LRO      string `json:"lro,omitempty"`      // option lro, "on" or "off"
	Checksum string `json:"checksum,omitempty"` // option csum, "on" or "off"
	Bridge   string `json:"bridge,omitempty"`   // option bridge, link tap only
	Port     string `json:"port,omitempty"`     // option port, link vfio only
}

// Layer says which suites run in a layer, for how long and how often.
type Layer struct {
	Layer   suites.Layer
	Suites  []string      // in the order in which they run
	Timeout time.Duration // of one run, 1s to 168h, default 10m
	Repeat  int           // runs per image and machine, 1 to 1000, default 1
}

// Entry is one block of the matrix: every target of every upstream on every
// machine in every layer.
type Entry struct {
	Upstreams []string
	Targets   []string
	Machines  []string
	Layers    []suites.Layer // from the bottom up
}

// Schedule starts a pass by the clock.
type Schedule struct {
	Name      string
	Cron      string // five fields, local time
	Upstreams []string
	Layers    []suites.Layer // from the bottom up; empty: all of the matrix
}

// Sink is where notifications go. Exactly one field besides Name is set.
type Sink struct {
	Name    string
	Mail    string // an address
	Webhook string // an http or https URL
}

// Cell is one point of the matrix: a target of an upstream on a machine.
type Cell struct {
	Upstream, Target, Machine string
	Layers                    []suites.Layer // from the bottom up
}
