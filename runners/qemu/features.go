package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/runners"
	nics "github.com/headwatch/headwatch/runners/nic"
)

// feature is one thing that a machine has. It renders its own arguments.
type feature interface{ args() []string }

// escaped doubles commas, which separate the properties of an argument.
func escaped(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// chassis is the board and who runs its instructions.
type chassis struct {
	accel  string
	smp    int
	memory int // MiB
	// bare leaves out the keyboard controller and the SATA controller. Looking for
	// what is behind them takes firmware and FreeBSD 1.5 s under emulation.
	bare bool
	// file holds the guest's memory; empty: no file does. A machine that is going to
	// be frozen writes to it, a clone only to pages of its own.
	file   string
	frozen bool // it is a clone's
	// ahead lets its time run ahead: 8 ns for each instruction, and none while it idles.
	ahead bool
}

// engine is who runs the instructions, and with which clock, as arguments.
func (c chassis) engine() (accel string, clock []string) {
	switch {
	case c.accel == "tcg" && c.ahead: // one thread, so that instructions can be counted
		return "tcg,thread=single", []string{"-icount", "shift=3,sleep=off", "-rtc", "clock=vm"}
	case c.accel == "tcg":
		return "tcg,thread=multi", nil
	}
	return c.accel, nil
}

func (c chassis) args() []string {
	accel, clock := c.engine()
	board := "q35,vmport=off,dump-guest-core=off"
	if c.bare {
		board += ",i8042=off,sata=off"
	}
	var memory []string
	if c.file != "" {
		board += ",memory-backend=" + memoryID
		share := "on"
		if c.frozen {
			share = "off"
		}
		memory = []string{"-object", fmt.Sprintf("memory-backend-file,id=%s,size=%dM,share=%s,mem-path=%s", memoryID, c.memory, share, escaped(c.file))}
	}
	return append(append(memory, "-machine", board, "-accel", accel, "-cpu", "max",
		"-smp", strconv.Itoa(c.smp), "-m", strconv.Itoa(c.memory)), clock...)
}

// directBoot loads a kernel without a boot loader.
type directBoot struct{ kernel, initrd, cmdline string }

func (d directBoot) args() []string {
	if d.kernel == "" {
		return nil
	}
	a := []string{"-kernel", d.kernel}
	if d.initrd != "" {
		a = append(a, "-initrd", d.initrd)
	}
	if d.cmdline != "" {
		a = append(a, "-append", d.cmdline)
	}
	return a
}

// disk is a raw image. What the guest writes goes to an unlinked temporary file:
// images are shared. A machine that is going to be frozen writes to an overlay,
// and its clones have a temporary file each over both.
type disk struct {
	index   int
	path    string
	boot    bool // firmware boots from it, and connects no other device first
	fd      int  // descriptor that QEMU starts with; 0: it opens path
	overlay string
	cow     []int // descriptors of the overlay, for reading and for writing; none: by its name
	frozen  bool
}

// set is the name by which QEMU opens a disk that it was handed.
func (d disk) set() string { return fmt.Sprintf("/dev/fdset/%d", d.index+1) }

// overlaySet is the name by which it opens the overlay: sets of disks come before.
const overlaySet = "/dev/fdset/100"

func (d disk) args() []string {
	if d.path == "" {
		return nil
	}
	id := fmt.Sprintf("disk%d", d.index)
	device := "virtio-blk-pci,drive=" + id + ",romfile="
	if d.boot {
		device += ",bootindex=0"
	}
	var a []string
	path := d.path
	if d.fd != 0 {
		a, path = []string{"-add-fd", fmt.Sprintf("fd=%d,set=%d", d.fd, d.index+1)}, d.set()
	}
	drive := "if=none,id=" + id + ",format=raw,snapshot=on,file=" + escaped(path)
	if d.overlay != "" {
		over, snapshot := d.overlay, "off"
		for _, fd := range d.cow {
			a, over = append(a, "-add-fd", fmt.Sprintf("fd=%d,set=100", fd)), overlaySet
		}
		if d.frozen {
			snapshot = "on"
		}
		drive = fmt.Sprintf("if=none,id=%s,format=qcow2,snapshot=%s,file=%s,backing.driver=raw,backing.file.filename=%s", id, snapshot, escaped(over), escaped(path))
	}
	return append(a, "-drive", drive, "-device", device)
}

// socket is a character device on a unix socket: one that QEMU starts with, or one
// of the folder that it starts in, at which the host listens, except where listens is
// true.
type socket struct {
	id      string
	listens bool
	fd      int // 0: by its name
}

func (s socket) name() string { return s.id + ".sock" }

func (s socket) args() []string {
	arg := fmt.Sprintf("socket,id=%s,path=%s", s.id, s.name())
	if s.fd != 0 {
		arg = fmt.Sprintf("socket,id=%s,fd=%d", s.id, s.fd)
	}
	if s.listens && s.fd == 0 {
		arg += ",server=on,wait=off"
	}
	return []string{"-chardev", arg}
}

// terminal is the character device of a person: Ctrl-A x ends the machine.
type terminal struct{ id string }

func (t terminal) args() []string {
	return []string{"-chardev", "stdio,id=" + t.id + ",mux=on,signal=off", "-mon", "chardev=" + t.id}
}

// nowhere is a character device that nobody is at.
type nowhere struct{ id string }

func (n nowhere) args() []string { return []string{"-chardev", "null,id=" + n.id} }

// uart is the next serial port.
type uart struct{ chardev string }

func (u uart) args() []string { return []string{"-serial", "chardev:" + u.chardev} }

// agentPort is the virtio-serial port of the agent.
type agentPort struct{ chardev string }

func (p agentPort) args() []string {
	return []string{
		"-device", "virtio-serial-pci,id=ports",
		"-device", "virtserialport,bus=ports.0,chardev=" + p.chardev + ",name=" + PortName,
	}
}

// entropy gives the guest random bytes, at most 64 KiB a second.
type entropy struct{}

func (entropy) args() []string {
	return []string{
		"-object", "rng-random,id=rng0,filename=/dev/urandom",
		"-device", "virtio-rng-pci,rng=rng0,max-bytes=65536,period=1000",
	}
}

// nic is the machine's index-th network interface.
type nic struct {
	index int
	spec  runners.NIC
	ends  nics.Ends
	// still keeps a virtio NIC from asking its guest to announce a move. The guest did
	// not move; and of a clone that was told to announce itself 0 times QEMU 7.2 dies
	// when the guest resets the NIC, as in each power-off.
	still bool
}

func (n nic) args() []string {
	a := nics.NIC(n.spec).Args(n.index, n.ends)
	if n.still && strings.HasPrefix(n.spec.Model, "virtio-net") {
		a[len(a)-1] += ",guest_announce=off"
	}
	return a
}

// mac is the address that the device starts with; empty: the card has its own.
func (n nic) mac() string {
	if n.spec.MAC != "" || n.spec.Link == nics.VFIO {
		return n.spec.MAC
	}
	return fmt.Sprintf("52:54:00:68:77:%02x", n.index)
}

func (n nic) check() error {
	if err := nics.NIC(n.spec).Check(); err != nil {
		return fmt.Errorf("nic %d: %w", n.index, err)
	}
	return nil
}

// memoryID names the guest's memory: the frozen state refers to it.
const memoryID = "memory0"

// board is what the machine says of itself: system information of the SMBIOS
// (DSP0134, 7.2).
type board struct{ commit string }

func (b board) args() []string {
	return []string{"-smbios", "type=1,product=headwatch,version=" + escaped(b.commit)}
}
