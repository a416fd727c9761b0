package nic

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// vfioDriver takes devices for machines.
const vfioDriver = "vfio-pci"

// Candidate is a network device of the host, and why it could not be passed
// through.
type Candidate struct {
	Device
	Members   []string `json:"members"`   // addresses of all of its IOMMU group, bridges apart, itself included
	Obstacles []string `json:"obstacles"` // empty: it could be passed through
}

// Candidates lists the host's network devices.
func (s System) Candidates() ([]Candidate, error) {
	devices, err := s.Devices()
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(s.driver(vfioDriver))
	return judge(devices, err == nil), nil
}

// judge decides what could be passed through. It is pure. loaded says that the
// host has the driver for it.
func judge(devices []Device, loaded bool) []Candidate {
	nics := 0
	for _, d := range devices {
		if d.Network() {
			nics++
		}
	}
	out := []Candidate{}
	for _, d := range devices {
		if !d.Network() {
			continue
		}
		c := Candidate{Device: d, Members: []string{d.Address}, Obstacles: []string{}}
		if d.Group == noGroup {
			c.add("no IOMMU: turn on VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on or amd_iommu=on")
		}
		c.Obstacles = append(c.Obstacles, inUse(d)...)
		if nics == 1 {
			c.add("it is this host's only NIC")
		}
		c.addGroup(devices)
		if !loaded {
			c.add("driver vfio-pci is not loaded: modprobe vfio-pci")
		}
		if !d.Writable {
			c.add("its driver cannot be changed by this user: run as root")
		}
		out = append(out, c)
	}
	return out
}

func (c *Candidate) add(format string, args ...any) {
	c.Obstacles = append(c.Obstacles, fmt.Sprintf(format, args...))
}

// inUse says how the host uses a network device.
func inUse(d Device) (how []string) {
	if d.Driver == vfioDriver {
		how = append(how, "another program has it: it is bound to vfio-pci")
	}
	for _, i := range d.Interfaces {
		switch {
		case i.Default:
			how = append(how, i.Name+" carries the default route")
		case i.Routes:
			how = append(how, i.Name+" carries routes of the host")
		case i.Master != "":
			how = append(how, i.Name+" is part of "+i.Master)
		case i.Up:
			how = append(how, fmt.Sprintf("%s is up: ip link set %s down", i.Name, i.Name))
		}
	}
	return how
}

// addGroup adds the rest of the device's IOMMU group. A group is passed through
// as a whole: what is in it can reach one another's memory.
func (c *Candidate) addGroup(devices []Device) {
	if c.Group == noGroup {
		return
	}
	for _, d := range devices {
		if d.Group != c.Group || d.Address == c.Address || d.bridge() {
			continue
		}
		c.Members = append(c.Members, d.Address)
		switch how := inUse(d); {
		case d.Network() && len(how) > 0:
			c.add("%s shares its IOMMU group: %s", d.Address, strings.Join(how, ", "))
		case !d.Network() && d.Driver != "":
			c.add("%s shares its IOMMU group, and the host uses it by driver %s", d.Address, d.Driver)
		}
	}
	slices.Sort(c.Members)
}
