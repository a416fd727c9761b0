package nic

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// System is where the kernel shows its devices. The zero value is this host's.
type System struct {
	Sys  string // default /sys
	Proc string // default /proc
	Dev  string // default /dev

	// write is os.WriteFile for files of sysfs; tests put a made-up kernel here.
	write func(path, data string) error
}

func (s System) sys(parts ...string) string  { return at(s.Sys, "/sys", parts) }
func (s System) proc(parts ...string) string { return at(s.Proc, "/proc", parts) }
func (s System) dev(parts ...string) string  { return at(s.Dev, "/dev", parts) }

func at(root, usual string, parts []string) string {
	return filepath.Join(append([]string{cmp.Or(root, usual)}, parts...)...)
}

func (s System) device(address string, parts ...string) string {
	return s.sys(append([]string{"bus", "pci", "devices", address}, parts...)...)
}

func (s System) driver(name string, parts ...string) string {
	return s.sys(append([]string{"bus", "pci", "drivers", name}, parts...)...)
}

// noGroup is the IOMMU group of a device behind no IOMMU.
const noGroup = -1

// Device is a PCI device of the host.
type Device struct {
	Address    string      `json:"address"`
	Class      uint32      `json:"class"` // base class, subclass and interface: PCI Code and ID Assignment
	Vendor     uint32      `json:"vendor"`
	Device     uint32      `json:"device"`
	Driver     string      `json:"driver"`     // empty: none
	Override   string      `json:"override"`   // the only driver that it may have; empty: any
	Group      int         `json:"group"`      // of the IOMMU; -1: none
	Reset      bool        `json:"reset"`      // it can be reset by itself
	Interfaces []Interface `json:"interfaces"` // of the host
	Writable   bool        `json:"-"`          // by this process
}

// Interface is a network interface of the host.
type Interface struct {
	Name    string `json:"name"`
	MTU     int    `json:"mtu"`
	Up      bool   `json:"up"`
	Carrier bool   `json:"carrier"`
	Routes  bool   `json:"routes"`  // the host routes packets over it
	Default bool   `json:"default"` // its default route among them
	Master  string `json:"master"`  // the bridge or bond that it is part of
}

// Network says whether the device is a network interface card.
func (d Device) Network() bool { return d.Class>>16 == 0x02 }

// bridge says whether the device only leads to others, so that it stays with its
// driver when its group is passed through.
func (d Device) bridge() bool { return d.Class>>16 == 0x06 }

// Devices reads every PCI device, by address. A device that goes away meanwhile is
// left out.
func (s System) Devices() ([]Device, error) {
	entries, err := os.ReadDir(s.device(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a host without PCI
	}
	if err != nil {
		return nil, fmt.Errorf("list PCI devices: %w", err)
	}
	routes, err := s.routes()
	if err != nil {
		return nil, err
	}
	var out []Device
	for _, e := range entries {
		d, err := s.readDevice(e.Name(), routes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("PCI device %s: %w", e.Name(), err)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Device) int { return strings.Compare(a.Address, b.Address) })
	return out, nil
}

func (s System) readDevice(address string, routes map[string]routing) (Device, error) {
	d := Device{Address: address, Group: noGroup, Interfaces: []Interface{}}
	for _, f := range []struct {
		name string
		into *uint32
	}{{"class", &d.Class}, {"vendor", &d.Vendor}, {"device", &d.Device}} {
		v, err := readWord(s.device(address, f.name))
		if err != nil {
			return d, err
		}
		n, err := strconv.ParseUint(v, 0, 32)
		if err != nil {
			return d, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.into = uint32(n)
	}
	d.Driver = linkName(s.device(address, "driver"))
	if group := linkName(s.device(address, "iommu_group")); group != "" {
		n, err := strconv.Atoi(group)
		if err != nil {
			return d, fmt.Errorf("IOMMU group: %w", err)
		}
		d.Group = n
	}
	override, err := readWord(s.device(address, "driver_override"))
	if err == nil && override != "(null)" {
		d.Override = override
	}
	_, err = os.Stat(s.device(address, "reset"))
	d.Reset = err == nil
	d.Writable = mayWrite(s.device(address, "driver_override"))
	if d.Network() {
		d.Interfaces = s.interfaces(address, routes)
	}
	return d, nil
}

// interfaces reads those of a device: below it, or below what its driver made of
// it, as virtio does.
func (s System) interfaces(address string, routes map[string]routing) []Interface {
	out := []Interface{}
	for _, pattern := range []string{"net/*", "*/net/*"} {
		paths, _ := filepath.Glob(s.device(address, pattern)) // the pattern is sound
		for _, p := range paths {
			if rel, _ := filepath.Rel(s.device(address), p); strings.Count(rel, "/") == 2 && linked(s.device(address, rel[:strings.IndexByte(rel, '/')])) {
				continue // another device's, seen through a link
			}
			out = append(out, readInterface(p, routes))
		}
	}
	return out
}

func readInterface(path string, routes map[string]routing) Interface {
	i := Interface{Name: filepath.Base(path), Master: linkName(filepath.Join(path, "master"))}
	i.Routes, i.Default = routes[i.Name].any, routes[i.Name].byDefault
	mtu, _ := readWord(filepath.Join(path, "mtu"))
	i.MTU, _ = strconv.Atoi(mtu)
	flags, _ := readWord(filepath.Join(path, "flags"))
	bits, _ := strconv.ParseUint(flags, 0, 32)
	i.Up = bits&1 != 0 // IFF_UP, netdevice(7)
	carrier, _ := readWord(filepath.Join(path, "carrier"))
	i.Carrier = carrier == "1" // cannot be read of an interface that is down
	return i
}

// readWord reads a file of one word.
func readWord(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// linkName is the last element of where a link points; empty: there is no link.
func linkName(path string) string {
	to, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

func linked(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode()&fs.ModeSymlink != 0
}
