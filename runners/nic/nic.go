// Package nic says how a machine is attached to a network: a device model and a
// link. Device models are data. Links are a wire (a unix socket, the harness is
// the cable), QEMU's user network, a tap and a real PCI device by vfio; whatever
// the link, the harness's end of it is a stream of Ethernet frames.
//
// Deciding is pure: Check and Args work on values, and what could be passed
// through is judged from what was read of sysfs. Taps, ports, namespaces and
// bindings are effects; each has one owner and a Close or Restore, and what they
// change comes back after a kill too: taps and namespaces die with the process,
// ports return to their namespace, and a journal gives PCI devices back.
package nic

import "fmt"

// NIC is a device model on a link. Its zero fields stand for what the model has
// by default.
type NIC struct {
	Model    string // a name of Models; for link vfio the address of the host's PCI device
	Link     string // a name of Links
	MAC      string // empty: chosen from the machine's place in the list
	Queues   int    // pairs of queues; 0: one
	MTU      int    // bytes; 0: 1500
	TSO      string // segmentation on sending: "on", "off"; empty: the model's default
	LRO      string // merging on receiving: the same
	Checksum string // checksums by the device: the same
	Bridge   string // link tap: a bridge of the host; empty: a private network namespace
	Port     string // link vfio: the host's interface at the other end of the cable
}

// The links.
const (
	Wire = "wire" // a unix socket; no privileges
	User = "user" // QEMU's own TCP/IP, which reaches nothing here
	Tap  = "tap"  // a tap interface of the host
	VFIO = "vfio" // a real PCI device
)

// Links lists the links.
func Links() []string { return []string{Wire, User, Tap, VFIO} }

// Model is a kind of network device that QEMU emulates.
type Model struct {
	Name   string
	Device string // what QEMU calls it
	Since  string // first version of QEMU that has it; empty: each that headwatch runs on
	Queues int    // most pairs of queues that can be asked for
	MTU    int    // largest, in bytes
	// Offloads says that QEMU can take segmentation, merging and checksums from
	// the device. Of other models the guest has to leave them alone.
	Offloads bool
	// TSOFrom is the first QEMU that segments rightly for this model; empty: each.
	// Before, packets of a guest that leaves segmentation to the device are damaged.
	TSOFrom string
}

// Models lists the device models. Their largest MTUs are those of the drivers of
// FreeBSD and Linux.
func Models() []Model {
	return []Model{
		{Name: "virtio-net", Device: "virtio-net-pci", Queues: 64, MTU: 65535, Offloads: true},
		{Name: "e1000", Device: "e1000", Queues: 1, MTU: 9000},
		{Name: "e1000e", Device: "e1000e", Queues: 1, MTU: 9000, TSOFrom: "8.0"},
		{Name: "igb", Device: "igb", Since: "8.0", Queues: 1, MTU: 9000},
		{Name: "vmxnet3", Device: "vmxnet3", Queues: 1, MTU: 9000, TSOFrom: "8.0"},
		{Name: "rtl8139", Device: "rtl8139", Queues: 1, MTU: 1500},
	}
}

// ModelNamed finds a device model.
func ModelNamed(name string) (Model, bool) {
	for _, m := range Models() {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}

// defaultMTU is that of Ethernet (IEEE 802.3).
const defaultMTU = 1500

func (n NIC) mtu() int {
	if n.MTU == 0 {
		return defaultMTU
	}
	return n.MTU
}

func (n NIC) queues() int { return max(n.Queues, 1) }

// Settings are what the guest has to be told of its interface, because its device
// cannot say it. Empty and zero: nothing.
type Settings struct {
	MTU                int
	TSO, LRO, Checksum string // "on" or "off"
}

// Guest says what a guest has to set on an interface of QEMU's given version. The
// virtio device carries all of it by itself.
func (n NIC) Guest(qemu string) Settings {
	m, ok := ModelNamed(n.Model)
	if ok && m.Offloads {
		return Settings{}
	}
	s := Settings{MTU: n.MTU, TSO: n.TSO, LRO: n.LRO, Checksum: n.Checksum}
	if ok && s.TSO == "" && damagesTSO(m, qemu) {
		s.TSO = "off"
	}
	return s
}

func damagesTSO(m Model, qemu string) bool { return m.TSOFrom != "" && older(qemu, m.TSOFrom) }

// Missing says why QEMU of the given version does not have the model, or "".
func (m Model) Missing(qemu string) string {
	if m.Since != "" && older(qemu, m.Since) {
		return fmt.Sprintf("QEMU %s has no %s: install %s or newer", qemu, m.Name, m.Since)
	}
	return ""
}

// older compares versions such as 7.2.22. One that cannot be read is not older.
func older(version, than string) bool {
	var a, b [2]int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a[0], &a[1]); n < 2 {
		return false
	}
	fmt.Sscanf(than, "%d.%d", &b[0], &b[1])
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}
