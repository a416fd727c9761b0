package qemu

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners"
	nics "github.com/headwatch/headwatch/runners/nic"
)

// PortName is the virtio-serial port by which the guest finds its host.
const PortName = "org.headwatch.agent"

// Options says what machine QEMU emulates. It is plain data.
type Options struct {
	Binary string
	Accel  string // "kvm" or "tcg"
	SMP    int
	Memory int // MiB
	Kernel string
	Initrd string
	Append string   // kernel arguments, complete
	Disks  []string // raw images, the machine's first one first
	// Firmware boots from Disks[Starts], when there is no Kernel to boot directly.
	Starts   int
	Firmware Firmware
	NICs     []runners.NIC
	Lines    []string // serial lines besides the console: "uart", "virtio"
	Serial   bool     // the agent is on the second UART, not on a virtio-serial port
	// Person renders the machine for somebody at a terminal: console and monitor on
	// standard input and output, nobody on the agent's channel.
	Person bool
	// Virtual has the guest's time count its instructions, and jump to its next timer
	// when it idles; emulation only.
	Virtual bool
	Commit  string // upstream commit, for the SMBIOS; empty: none
	Extra   []string
	// Passthrough is a folder for the journals of passed-through NICs; empty: they
	// are refused.
	Passthrough string

	// Memory file and overlay of a machine that is going to be frozen; empty: none.
	RAM, Overlay string
	// Clone renders a machine that takes its state from a frozen one with this RAM
	// and Overlay, instead of booting.
	Clone bool

	fence   fence         // around its network
	idle    bool          // it starts with the lowest priority, until it is raised
	flow    flow          // of its console
	silence time.Duration // until a guest is said to hang; 0: silence, by accelerator

	handed descriptors // for the QEMU that this process starts; people's finds all by name
}

// Names of the character devices, and with ".sock" of their sockets.
const (
	monitorID = "monitor"
	consoleID = "console"
	controlID = "control"
)

// Cmdline is the command line that o stands for, the binary first. The sockets in
// it are relative to the folder that QEMU is started in.
func (o Options) Cmdline() []string {
	argv := []string{o.Binary, "-nodefaults", "-no-user-config", "-display", "none"}
	for _, f := range o.features() {
		argv = append(argv, f.args()...)
	}
	argv = append(argv, sandbox...)
	if o.Person {
		argv = append(argv, "-no-reboot")
	} else {
		// QEMU starts stopped and ends only when told to, so that no event is missed:
		// its exit code says nothing about the guest. A clone runs once it has its state.
		start := []string{"-S"}
		switch {
		case o.Clone:
			// Unasked it would announce the template's addresses on each wire.
			start = []string{"-incoming", "defer", "-global", "migration.announce-rounds=0"}
		case o.RAM != "":
			// A state that says that it was stopped would leave its clones stopped.
			start = append(start, "-global", "migration.store-global-state=off")
		}
		argv = append(append(argv, start...), "-action", "reboot=shutdown,shutdown=pause,panic=pause,watchdog=pause",
			"-mon", "chardev="+monitorID+",mode=control")
	}
	return append(argv, o.Extra...)
}

// fromDisk says that firmware boots the machine, and not QEMU itself.
func (o Options) fromDisk() bool { return o.Kernel == "" }

func (o Options) features() []feature {
	fs := []feature{chassis{o.Accel, o.SMP, o.Memory, o.fromDisk(), o.RAM, o.Clone, o.Virtual}}
	if o.Person {
		fs = append(fs, terminal{consoleID}, nowhere{controlID})
	} else {
		fs = append(fs, socket{monitorID, true, o.handed.monitor}, socket{consoleID, false, o.handed.console},
			socket{controlID, false, o.handed.control})
	}
	fs = append(fs, uart{consoleID})
	if o.Serial {
		fs = append(fs, uart{controlID})
	} else {
		fs = append(fs, agentPort{controlID})
	}
	for i, name := range o.Lines {
		fs = append(fs, o.line(i))
		if name == "uart" {
			fs = append(fs, uart{lineID(name)})
		} else {
			fs = append(fs, linePort{name})
		}
	}
	fs = append(fs, entropy{})
	if !o.Clone { // its memory has the kernel, and QEMU would read 30 MB for nothing
		fs = append(fs, directBoot{o.Kernel, o.Initrd, o.Append})
	}
	fs = append(fs, o.Firmware)
	for i := range o.Disks {
		fs = append(fs, o.disk(i))
	}
	for i := range o.NICs {
		fs = append(fs, o.nic(i))
	}
	if o.Commit != "" {
		fs = append(fs, board{o.Commit})
	}
	return fs
}

// line is the character device of the i-th line: nobody is at a person's.
func (o Options) line(i int) feature {
	if o.Person {
		return nowhere{lineID(o.Lines[i])}
	}
	s := socket{id: lineID(o.Lines[i])}
	if i < len(o.handed.lines) {
		s.fd = o.handed.lines[i]
	}
	return s
}

func (o Options) nic(i int) nic {
	n := nic{index: i, spec: o.NICs[i], ends: nics.Ends{Loose: o.Person}, still: o.RAM != ""}
	if i < len(o.handed.ends) {
		n.ends = o.handed.ends[i]
	}
	return n
}

// disk is the machine's i-th. Only the first can have an overlay.
func (o Options) disk(i int) disk {
	d := disk{index: i, path: o.Disks[i], boot: o.fromDisk() && i == o.Starts, frozen: o.Clone}
	if i < len(o.handed.disks) {
		d.fd = o.handed.disks[i]
	}
	if i == 0 {
		d.overlay, d.cow = o.Overlay, o.handed.overlay
	}
	return d
}

// macs are the addresses that the NICs start with.
func (o Options) macs() []string {
	var macs []string
	for i := range o.NICs {
		macs = append(macs, o.nic(i).mac())
	}
	return macs
}

// optionsFor makes the options of a boot, all but the binary and the
// accelerator, and says what is wrong with the request.
func optionsFor(b runners.Bootable, s runners.Spec) (Options, error) {
	switch {
	case b.Image.Arch != "amd64":
		return Options{}, fmt.Errorf("architecture %q: this runner knows only amd64", b.Image.Arch)
	case b.Image.OS != "linux" && b.Image.OS != "freebsd":
		return Options{}, fmt.Errorf("operating system %q: want linux or freebsd", b.Image.OS)
	case b.Kernel == "" && b.Disk == "":
		return Options{}, errors.New("image has neither a kernel nor a disk")
	case s.SMP < 1:
		return Options{}, fmt.Errorf("%d virtual CPUs: want at least 1", s.SMP)
	case s.Memory < 1:
		return Options{}, fmt.Errorf("memory of %d MiB: want at least 1", s.Memory)
	case s.Control != "" && s.Control != "virtio" && s.Control != "serial":
		return Options{}, fmt.Errorf("control channel %q: want virtio or serial", s.Control)
	case s.Clock != "" && s.Clock != "virtual":
		return Options{}, fmt.Errorf("clock %q: want none or virtual", s.Clock)
	case s.Clock == "virtual" && s.Accel == "kvm":
		return Options{}, errors.New("clock virtual: the host's CPU keeps the host's time; want accelerator tcg or auto")
	case s.Clock == "virtual" && s.SMP != 1:
		return Options{}, fmt.Errorf("clock virtual with %d virtual CPUs: want 1: a CPU that waits for another one does not idle", s.SMP)
	}
	if err := checkLines(s.Lines, s.Control == "serial"); err != nil {
		return Options{}, err
	}
	for i, n := range s.NICs {
		if err := (nic{index: i, spec: n}).check(); err != nil {
			return Options{}, err
		}
	}
	o := Options{
		SMP: s.SMP, Memory: s.Memory, Kernel: b.Kernel, Initrd: b.Initrd,
		NICs: s.NICs, Lines: s.Lines, Serial: s.Control == "serial", Virtual: s.Clock == "virtual", Commit: s.Commit, Extra: s.ExtraArgs,
	}
	for _, path := range []string{b.Disk, b.Meta, b.Starter} {
		if path != "" {
			o.Disks = append(o.Disks, path)
		}
	}
	if b.Starter != "" {
		o.Starts = len(o.Disks) - 1
	}
	o.Append = kernelArgs(b, o.Serial)
	return o, nil
}

// kernelArgs puts the runner's arguments before the image's, which can override
// them. A Linux kernel speaks on the first UART from its first instructions on
// and resets as soon as it has panicked, which QEMU reports, and panics when it is
// interrupted to ask why it hangs. It does not check its
// timer: on a busy host the check fails, and the kernel panics.
func kernelArgs(b runners.Bootable, serial bool) string {
	var a []string
	if b.Image.OS == "linux" {
		a = append(a, "console=ttyS0,115200", "earlyprintk=serial,ttyS0,115200", "panic=-1", "unknown_nmi_panic", "no_timer_check")
		if serial {
			a = append(a, "headwatch.control=serial")
		}
	}
	if b.Cmdline != "" {
		a = append(a, b.Cmdline)
	}
	return strings.Join(a, " ")
}

// Quote makes one sh(1) command of an argument vector.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		if a == "" || strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_") != "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words[i] = a
	}
	return strings.Join(words, " ")
}
