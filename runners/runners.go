// Package runners says what a builder and a runner must offer: Builder turns a
// source into an image, Runner boots an image into a Machine. The packages
// below this one implement them; this package imports nothing of the project.
//
// Every failure is either the kernel's (BuildError, BootError) or the rig's
// (anything else). What nobody classified is the rig's.
package runners

import (
	"context"
	"io"
	"net"
	"time"
)

// Recipe says what to build. It is plain data, so that it can be hashed: two
// equal recipes over equal trees make equal images.
type Recipe struct {
	OS     string // "linux" or "freebsd"
	Arch   string // "amd64" or "arm64"
	Source string // "package" (a distribution's kernel), "tree" or "artifacts"
	// Kernel selects the packaged kernel: "cloud" or "generic" for the newest
	// unpacked by set-up, or the path of a folder that holds boot/ and lib/modules/.
	Kernel    string
	Base      string   // URL below which they are published, for Source "artifacts"
	Config    string   // for Source "tree": a kernel configuration of it, or the path of a file
	Fragments []string // lines added to it
	World     bool     // userland too, not the kernel only
	TestImage bool     // the CI's own test image, as published, for Source "artifacts"
	Overlay   string   // folder of the commit's tree that configures the guest; see runners/build
	Cmdline   []string // kernel arguments of the target, before the overlay's; for freebsd loader.conf's, name=value
	Modules   []string // modules of the target, before the overlay's
}

// Builder makes images.
type Builder interface {
	// Inputs says what Build would read: the paths of the commit's tree and a
	// salt that covers everything else (recipe, kernel package, agent, version of
	// the builder). The digest of both identifies a build.
	Inputs(ctx context.Context, r Recipe) (paths []string, salt string, err error)
	// Build makes an image from a tree and stores it. A *BuildError says that the
	// source is at fault; any other error is the rig's. What the tools print goes
	// to log.
	Build(ctx context.Context, r Recipe, t Tree, log io.Writer) (Image, error)
	// Open verifies an image's artifacts and lays them out in dir.
	Open(ctx context.Context, id string, dir string) (Bootable, error)
	// Debug verifies the debugging information of an image's kernel, an ELF file,
	// and writes it into dir. It lies beside the image and is no part of it: of
	// equal kernels, the first one's is kept. An empty path: there is none.
	Debug(ctx context.Context, image, dir string) (path string, err error)
}

// Tree is what a build reads of a commit.
type Tree struct {
	Dir    string // holds the paths that Inputs named, as exported; empty: none of them
	Commit string // full hash; empty: a tree that is no commit
	Branch string // of the upstream
	Clean  bool   // use no objects of earlier builds
}

// Image is a bootable result of a build.
type Image struct {
	ID   string // "sha256:" + hex digest of the manifest
	OS   string
	Arch string
	Size int64 // bytes of all artifacts, uncompressed
	// How the build which stored it was done is no property of the image: a clean
	// build should make the same.
	Incremental bool // objects of earlier builds were used
	Cached      bool // it was there, and nothing was compiled
}

// Bootable is an image laid out in a folder, ready for a Runner.
type Bootable struct {
	Image   Image
	Kernel  string // path of the kernel, for direct boot
	Initrd  string // path of the initial RAM file system; empty: none
	Cmdline string // kernel arguments; the runner adds the console's
	Disk    string // path of a raw disk image; empty: none
	Meta    string // path of a second one, by which the first is told what to do; empty: none
	Starter string // path of one with a boot loader for Disk; empty: Disk has its own
	Layouts string // path of the document of the kernel's structures; empty: none
}

// Spec says what machine an image is booted on.
type Spec struct {
	SMP     int    // virtual CPUs, at least 1
	Memory  int    // MiB
	NICs    []NIC  // empty: none
	Accel   string // "auto", "kvm" or "tcg"
	Control string // agent channel: "virtio" (default) or "serial", the second UART
	// Clock is whose time the guest lives in: empty, the host's; "virtual", its own,
	// which runs ahead whenever it idles. That needs emulation.
	Clock string
	// Lines are serial lines besides the console: "uart", "virtio", each once.
	Lines []string
	Dir   string // folder of this machine's sockets and logs; the caller removes it
	// ConsoleLog receives the console as it arrives. Never nil.
	ConsoleLog Console
	// BootTimeout bounds the time from power-on to the agent's first answer, on a
	// host whose emulation is as slow as the runner measured it to be.
	BootTimeout time.Duration
	ExtraArgs   []string // further arguments for the virtual machine monitor
	// Commit is told to whoever looks at the machine's board, and is no part of the
	// image: equal images stay equal. FreeBSD shows it as kenv smbios.system.version,
	// Linux as /sys/class/dmi/id/product_version. Empty: none is told.
	Commit string
	// Ordinal says which of several cold boots of the same machine a template is
	// wanted of: clones of one are no independent draws of what a boot decides.
	Ordinal int
}

// Start says how a machine is started from a template.
type Start struct {
	Dir string // folder of this machine's sockets and logs; the caller removes it
	// ConsoleLog receives what the console says from the start on. Never nil.
	ConsoleLog Console
	// Seed decides the addresses of the NICs to which the template's Spec gives
	// none. 0: each start has others.
	Seed uint64
}

// NIC is how a machine is attached: a device model and a link. Zero fields stand
// for what the model has by default. runners/nic knows what can be combined.
type NIC struct {
	Model    string // "virtio-net", "e1000", "e1000e", "vmxnet3", …; for link vfio a PCI address of the host
	Link     string // "wire", "user", "tap" or "vfio"
	MAC      string // empty: chosen from the machine's place in the list
	Queues   int    // pairs of queues; 0: one
	MTU      int    // bytes; 0: 1500
	TSO      string // "on" or "off": segmentation on sending
	LRO      string // "on" or "off": merging on receiving
	Checksum string // "on" or "off": checksums by the device
	Bridge   string // link tap: a bridge of the host; empty: a private network namespace
	Port     string // link vfio: the host's interface at the other end of the cable
}

// Console takes what the kernel says and finds crashes in it.
type Console interface {
	io.Writer
	Crashes() []Crash
	// Tail returns the last n bytes said.
	Tail(n int) string
}

// MachineConsole is the console of one of several machines.
type MachineConsole interface {
	Console
	// Expect has it take none of these titles for a crash from now on, as far as a
	// report's first line makes them: whoever uses the machine brings them about.
	Expect(titles []string)
}

// Runner boots images.
type Runner interface {
	// Boot starts a machine and returns when its agent has answered. It returns a
	// *BootError when the kernel did not get there; any other error is the rig's.
	Boot(ctx context.Context, b Bootable, s Spec) (Machine, error)
	// Template makes a frozen machine to start others from, or takes one that was
	// made from the same image and spec. A cold boot for it fails as Boot does, and
	// Spec.ConsoleLog has what it said, now or when it was made. Spec.Dir serves
	// this call only.
	Template(ctx context.Context, b Bootable, s Spec) (Template, error)
	// Command is the exact command line that Boot would run, quoted for a shell.
	Command(b Bootable, s Spec) string
	// Describe says in one line what boots the machines besides their specs: the
	// virtual machine monitor, the firmware, the accelerator that works here. What
	// runners that describe themselves differently saw is never compared. It is asked
	// often, and looks closer only at what has changed. Any error is the rig's.
	Describe(ctx context.Context) (string, error)
}

// Template is where machines are started from. It is safe for concurrent use; its
// owner ends it with Close, which the machines outlive.
type Template interface {
	// Facts are those of the cold boot; without a BootID the machine cannot be
	// cloned, and each Start boots it.
	Facts() Facts
	// Start gives a machine of its own, with its clock, addresses and random
	// generator renewed, and returns when its agent has answered and a frame has
	// passed each of its wires. ctx bounds the start, not the machine. The kernel's
	// fault is a *BootError, where the machine is booted; any other error is the
	// rig's.
	Start(ctx context.Context, s Start) (Machine, error)
	Close() error
}

// Machine is a running guest. It satisfies suites.Guest. One owner uses it and
// ends it with Close; Call is safe for concurrent use.
type Machine interface {
	OS() string
	CPUs() int
	Call(ctx context.Context, op string, args, result any) error
	Crashes() []string
	PowerOff(ctx context.Context) error
	Facts() Facts
	// Wire is the host's end of the cable of NIC i, nil when its link is not "wire":
	// a stream of frames, each behind its length in 4 bytes, big-endian. It is the
	// machine's: Close closes it.
	Wire(i int) net.Conn
	// MACs are those of its Facts.
	MACs() []string
	// Starved is for how long the host has kept the guest from its CPUs since it
	// started. It never falls, and stays 0 where the host does not tell.
	Starved() time.Duration
	// Done is closed when the guest is gone, for whatever reason.
	Done() <-chan struct{}
	// Close ends the machine if it still runs, waits for every process and
	// goroutine of it, and reports how it ended.
	Close() (Exit, error)
}

// Presser is a Machine whose virtual CPUs can be disturbed from outside, so that
// races show. What is done follows from seed and from how many CPUs guest and host
// have. stop ends it and undoes it; the error says what could not be done.
type Presser interface {
	Pressure(ctx context.Context, seed uint64) (stop func() error, err error)
}

// Serial is a Machine whose serial lines' far ends are in the host's hands. A line has
// the name of its device: "console", the kernel's own, which is the first UART; "uart",
// the second; "virtio", a port of virtio-serial.
type Serial interface {
	// Lines are the names of those that the machine has, "console" first.
	Lines() []string
	// Type sends bytes to the guest, and returns when all have left the host.
	Type(ctx context.Context, line string, p []byte) error
	// Break sends a break condition; a UART's only.
	Break(ctx context.Context, line string) error
	// Hold takes nothing of what the guest says until release is called: its writers
	// come to stand.
	Hold(line string) (release func(), err error)
	// Record keeps what the line says from now on until stop is called. take gives what
	// came since it was called last; limit is how many bytes can wait for that, and stop
	// tells how many were lost beyond it.
	Record(line string, limit int) (take func() []byte, stop func() (lost int64), err error)
	// Unplug takes a virtio line's device away from the guest, Plug brings it back.
	Unplug(ctx context.Context, line string) error
	Plug(ctx context.Context, line string) error
	// Switch puts another connection behind a line, but for the console, under the
	// guest's hands; what was under way may be lost.
	Switch(ctx context.Context, line string) error
}

// Facts are what a machine knows of itself once the agent has answered.
type Facts struct {
	BootID   string        // drawn by the kernel or the agent at boot; new in every boot
	Kernel   string        // release, as uname prints it
	Accel    string        // "kvm" or "tcg"
	Flags    []string      // of the host's CPU that runs the guest, as /proc/cpuinfo names them; nil under emulation
	Monitor  string        // version of the virtual machine monitor
	Booted   time.Time     // when the cold boot's agent answered
	BootTime time.Duration // power-on to that answer
	// Template is the boot id of the cold boot that the machine descends from: its
	// own, unless it was cloned.
	Template  string
	Cloned    bool
	StartTime time.Duration // from asking to the agent's answer
	MACs      []string      // of the NICs, in their order
	Command   string        // exact command line, quoted for a shell
}

// Exit says how a machine ended. The zero value is invalid.
type Exit int

// How a machine ends.
const (
	_            Exit = iota
	ExitPowerOff      // clean: the agent's end marker, then the guest's own power-off
	ExitGuest         // the guest ended (reset, shutdown, triple fault) without the marker
	ExitKilled        // we ended it
	ExitMonitor       // the virtual machine monitor died: the rig's fault
)

func (e Exit) String() string {
	switch e {
	case ExitPowerOff:
		return "power-off"
	case ExitGuest:
		return "guest ended without the end marker"
	case ExitKilled:
		return "killed"
	case ExitMonitor:
		return "virtual machine monitor died"
	}
	return "invalid exit"
}
