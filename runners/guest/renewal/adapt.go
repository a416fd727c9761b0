package renewal

import "fmt"

// OpAdapt sets what a device cannot tell its guest: how long its frames may be, and
// what the driver may leave to the device. It runs once, before a guest is frozen.
const OpAdapt = "agent/adapt"

// Adapt are its arguments.
type Adapt struct {
	NICs []Adaptation `json:"nics"`
}

// Adaptation is what is to be set on an interface. Zero fields stay as they are.
type Adaptation struct {
	MAC string `json:"mac"`           // its address, by which it is found
	MTU int    `json:"mtu,omitempty"` // bytes
	// on or off
	TSO      string `json:"tso,omitempty"`  // segmentation by the device, IPv4 and IPv6
	LRO      string `json:"lro,omitempty"`  // merging
	Checksum string `json:"csum,omitempty"` // checksums, both ways
}

// Adapted is its answer, with one entry for each of the NICs.
type Adapted struct {
	Problems []string `json:"problems"` // empty: everything was set, and read back
	// Absent says that no interface has the address: no driver took the device, which
	// is for its cases to judge.
	Absent []bool `json:"absent"`
}

func (a *Adapt) check() error {
	if len(a.NICs) > maxNICs {
		return fmt.Errorf("%d NICs: want at most %d", len(a.NICs), maxNICs)
	}
	for _, n := range a.NICs {
		for _, o := range n.offloads() {
			if o.want != "" && o.want != "on" && o.want != "off" {
				return fmt.Errorf("%s: %s %q: want on or off", n.MAC, o.name, o.want)
			}
		}
	}
	return nil
}

// offload is something that a driver may leave to the device.
type offload struct {
	name string // tso, lro or csum
	want string // on, off, or empty
}

// offloads are in the order in which they can be set: a device that computes no
// checksums segments nothing.
func (a Adaptation) offloads() []offload {
	all := []offload{{"tso", a.TSO}, {"lro", a.LRO}, {"csum", a.Checksum}}
	if a.Checksum == "on" {
		all[0], all[2] = all[2], all[0]
	}
	return all
}
