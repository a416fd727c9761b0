package nic

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
)

const (
	minMTU = 576 // bytes; the least that every IPv4 host takes (RFC 791)
	// maxUserMTU is libslirp's, which QEMU has no option for.
	maxUserMTU = 1500
	// maxFrame bounds a frame on any link: QEMU's stream sends up to 64 KiB of
	// packet and 4 KiB of headers (NET_BUFSIZE in include/net/net.h).
	maxFrame = 68 << 10
	overhead = 14 + 4 // bytes that Ethernet adds to an MTU: header and VLAN tag
)

var (
	// PCI addresses are written in full: domain, bus, device and function.
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)
	// interfaceName is a Linux interface's; the kernel allows more, people do not.
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`)
)

// IsAddress says whether s is a PCI address, such as 0000:03:00.0.
func IsAddress(s string) bool { return pciAddress.MatchString(s) }

// Check says what is wrong with a NIC, in one line. It asks nothing of the host.
func (n NIC) Check() error {
	if !slices.Contains(Links(), n.Link) {
		return fmt.Errorf("link %q: want one of %s", n.Link, strings.Join(Links(), ", "))
	}
	for _, o := range []struct{ name, value string }{{"tso", n.TSO}, {"lro", n.LRO}, {"csum", n.Checksum}} {
		if o.value != "" && o.value != "on" && o.value != "off" {
			return fmt.Errorf("%s=%s: want on or off", o.name, o.value)
		}
	}
	if n.Bridge != "" && (n.Link != Tap || !validInterface(n.Bridge)) {
		return fmt.Errorf("bridge=%s: want a bridge of this host, with link tap", n.Bridge)
	}
	if n.Port != "" && (n.Link != VFIO || !validInterface(n.Port)) {
		return fmt.Errorf("port=%s: want an interface of this host, with link vfio", n.Port)
	}
	if n.Link == VFIO {
		return n.checkHost()
	}
	return n.checkModel()
}

func validInterface(s string) bool {
	return interfaceName.MatchString(s) && s != "." && s != ".."
}

// checkHost checks a device that is what it is: the host's.
func (n NIC) checkHost() error {
	switch {
	case !IsAddress(n.Model):
		return fmt.Errorf("link vfio: device %q: want the PCI address of a NIC of this host, such as 0000:03:00.0; headwatch nics lists them", n.Model)
	case n.Port == "":
		return fmt.Errorf("link vfio: want port=NAME, the host's interface at the other end of the cable")
	case n.MAC != "":
		return fmt.Errorf("mac=%s: a passed-through NIC has its own", n.MAC)
	case n.Queues != 0:
		return fmt.Errorf("queues=%d: a passed-through NIC has its own", n.Queues)
	case n.MTU != 0 && (n.MTU < minMTU || n.MTU > 9216):
		return fmt.Errorf("mtu=%d: want %d to 9216", n.MTU, minMTU)
	}
	return nil
}

func (n NIC) checkModel() error {
	m, ok := ModelNamed(n.Model)
	if !ok {
		var known []string
		for _, m := range Models() {
			known = append(known, m.Name)
		}
		return fmt.Errorf("model %q: want one of %s", n.Model, strings.Join(known, ", "))
	}
	if n.MAC != "" {
		mac, err := net.ParseMAC(n.MAC)
		if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
			return fmt.Errorf("mac=%s: want the address of one station, such as 52:54:00:68:77:01", n.MAC)
		}
	}
	if err := n.checkQueues(m); err != nil {
		return err
	}
	if n.MTU != 0 && (n.MTU < minMTU || n.MTU > m.MTU) {
		return fmt.Errorf("mtu=%d: %s takes %d to %d", n.MTU, m.Name, minMTU, m.MTU)
	}
	if n.Link == User && n.MTU > maxUserMTU {
		return fmt.Errorf("mtu=%d: link user takes at most %d; wire and tap take more", n.MTU, maxUserMTU)
	}
	if n.Checksum == "off" && (n.TSO == "on" || n.LRO == "on") {
		return fmt.Errorf("csum=off: segments cannot be made or merged by a device that leaves checksums alone; leave out tso=on and lro=on")
	}
	return nil
}

func (n NIC) checkQueues(m Model) error {
	switch {
	case n.Queues < 0 || n.Queues > 64:
		return fmt.Errorf("queues=%d: want 1 to 64", n.Queues)
	case n.Queues > m.Queues:
		return fmt.Errorf("queues=%d: the queues of %s cannot be chosen; those of virtio-net can", n.Queues, m.Name)
	case n.Queues > 1 && n.Link != Tap:
		return fmt.Errorf("queues=%d: link %s has one queue; tap has more", n.Queues, n.Link)
	}
	return nil
}

// CheckVersion says why a QEMU of the given version cannot offer a NIC that Check
// accepts.
func (n NIC) CheckVersion(qemu string) error {
	m, ok := ModelNamed(n.Model)
	switch {
	case !ok:
		return nil // a device of the host
	case m.Missing(qemu) != "":
		return fmt.Errorf("model %s: %s", n.Model, m.Missing(qemu))
	case n.TSO == "on" && damagesTSO(m, qemu):
		return fmt.Errorf("tso=on: QEMU %s damages what %s segments; leave it off, or install %s or newer", qemu, n.Model, m.TSOFrom)
	}
	return nil
}
