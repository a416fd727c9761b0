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
}

func (c chassis) args() []string {
	accel := c.accel
	if accel == "tcg" {
		accel = "tcg,thread=multi"
	}
	board := "q35,vmport=off,dump-guest-core=off"
	if c.bare {
		board += ",i8042=off,sata=off"
	}
	return []string{
		"-machine", board, "-accel", accel, "-cpu", "max",
		"-smp", strconv.Itoa(c.smp), "-m", strconv.Itoa(c.memory),
	}
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
// images are shared.
type disk struct {
	index int
	path  string
	boot  bool // firmware boots from it, and connects no other device first
	fd    int  // descriptor that QEMU starts with; 0: it opens path
}

// set is the name by which QEMU opens a disk that it was handed.
func (d disk) set() string { return fmt.Sprintf("/dev/fdset/%d", d.index+1) }

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
	return append(a, "-drive", "if=none,id="+id+",format=raw,snapshot=on,file="+escaped(path), "-device", device)
}

// socket is a character device on a unix socket: one that QEMU starts with, or one
// of the folder that it starts in. The host listens, except where listens is true.
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
	if s.listens {
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
	ends  []nics.Ends // of all NICs; empty: a person has none
}

func (n nic) args() []string {
	var ends nics.Ends
	if n.index < len(n.ends) {
		ends = n.ends[n.index]
	}
	return nics.NIC(n.spec).Args(n.index, ends)
}

func (n nic) check() error {
	if n.spec.Link == nics.Wire {
		return fmt.Errorf("nic %d: link wire: this runner knows only user, tap and vfio", n.index)
	}
	if err := nics.NIC(n.spec).Check(); err != nil {
		return fmt.Errorf("nic %d: %w", n.index, err)
	}
	return nil
}

// board is what the machine says of itself: system information of the SMBIOS
// (DSP0134, 7.2).
type board struct{ commit string }

func (b board) args() []string {
	return []string{"-smbios", "type=1,product=headwatch,version=" + escaped(b.commit)}
}
