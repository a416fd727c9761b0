package nic

import (
	"fmt"
	"strconv"
	"strings"
)

// Ends are where QEMU finds the host's end of a link: descriptors that it starts
// with. The zero value renders a command line for a person, who has none.
type Ends struct {
	Wire  int   // a connected stream socket
	Loose bool  // link wire: nobody is at its other end
	Tap   []int // one per pair of queues
	Vhost []int // empty, or one per pair of queues
}

// Args renders the index-th NIC of a machine, which Check accepts.
func (n NIC) Args(index int, e Ends) []string {
	if n.Link == VFIO {
		return []string{"-device", "vfio-pci,host=" + n.Model + ",rombar=0"}
	}
	id := fmt.Sprintf("net%d", index)
	return []string{"-netdev", n.netdev(id, e), "-device", strings.Join(n.device(id, index), ",")}
}

func (n NIC) netdev(id string, e Ends) string {
	switch {
	case n.Link == Wire && e.Loose:
		return "hubport,hubid=" + strings.TrimPrefix(id, "net") + ",id=" + id
	case n.Link == Wire && e.Wire != 0:
		return fmt.Sprintf("stream,id=%s,addr.type=fd,addr.str=%d", id, e.Wire)
	case n.Link == Wire:
		// A person's cable is a socket of the folder that they start it in.
		return fmt.Sprintf("stream,id=%s,server=on,addr.type=unix,addr.path=%s.sock", id, id)
	case n.Link == Tap && len(e.Tap) > 0:
		return "tap,id=" + id + fds("fd", e.Tap) + vhost(e.Vhost)
	case n.Link == Tap && n.Bridge != "":
		return "bridge,id=" + id + ",br=" + n.Bridge
	case n.Link == Tap:
		s := "tap,id=" + id + ",script=no,downscript=no"
		if n.queues() > 1 {
			s += ",queues=" + strconv.Itoa(n.queues())
		}
		return s
	}
	// restrict: the guest is hostile, and must not reach what listens on the host.
	return "user,restrict=on,id=" + id
}

func vhost(list []int) string {
	if len(list) == 0 {
		return ""
	}
	return ",vhost=on" + fds("vhostfd", list)
}

// fds renders one descriptor or, with an s, several.
func fds(name string, list []int) string {
	if len(list) == 1 {
		return fmt.Sprintf(",%s=%d", name, list[0])
	}
	words := make([]string, len(list))
	for i, fd := range list {
		words[i] = strconv.Itoa(fd)
	}
	return fmt.Sprintf(",%ss=%s", name, strings.Join(words, ":"))
}

func (n NIC) device(id string, index int) []string {
	m, ok := ModelNamed(n.Model)
	if !ok {
		m.Device = n.Model
	}
	mac := n.MAC
	if mac == "" {
		mac = fmt.Sprintf("52:54:00:68:77:%02x", index)
	}
	props := []string{m.Device, "netdev=" + id, "mac=" + mac, "romfile="}
	if !m.Offloads {
		return props
	}
	if q := n.queues(); q > 1 {
		// Two vectors for each pair, one for the configuration and one for control.
		props = append(props, "mq=on", "vectors="+strconv.Itoa(2*q+2))
	}
	if n.MTU != 0 {
		props = append(props, "host_mtu="+strconv.Itoa(n.MTU))
	}
	return append(props, n.offloads()...)
}

// offloads are properties of the virtio device, in which "host" means what the
// guest sends: section 5.1.3 of the virtio 1.2 specification. Without checksums
// there can be no segments.
func (n NIC) offloads() (props []string) {
	set := func(value string, names ...string) {
		for _, name := range names {
			if value != "" {
				props = append(props, name+"="+value)
			}
		}
	}
	tso, lro := n.TSO, n.LRO
	if n.Checksum == "off" {
		tso, lro = "off", "off"
	}
	set(n.Checksum, "csum", "guest_csum")
	set(tso, "host_tso4", "host_tso6")
	set(lro, "guest_tso4", "guest_tso6")
	if tso == "off" {
		set(tso, "host_ecn", "host_ufo")
	}
	if lro == "off" {
		set(lro, "guest_ecn", "guest_ufo")
	}
	return props
}
