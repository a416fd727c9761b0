package nic

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// madeUp is a kernel that shows a made-up tree of sysfs and does what is written
// there, as Documentation/ABI/testing/sysfs-bus-pci and drivers/base/bus.c have it.
// The guest of test-vfio shows that the real one does the same.
type madeUp struct {
	t      *testing.T
	root   string
	system System
	writes []string
	// dieAt is the number of the write before which this process is killed; 0: it
	// lives.
	dieAt int
	fails map[string]error // by path below sys: what a write fails with
}

type madeUpDevice struct {
	address, driver string
	class           uint32
	group           int
	iface           string
	up              bool
	noReset         bool
}

func newKernel(t *testing.T, devices ...madeUpDevice) *madeUp {
	t.Helper()
	k := &madeUp{t: t, root: t.TempDir(), fails: map[string]error{}}
	k.system = System{Sys: k.path("sys"), Proc: k.path("proc"), Dev: k.path("dev"), write: k.write}
	k.file("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n")
	k.driver(vfioDriver)
	k.file("dev/vfio/vfio", "")
	for i, d := range devices {
		dir := "sys/bus/pci/devices/" + d.address
		k.file(dir+"/class", fmt.Sprintf("0x%06x\n", d.class))
		k.file(dir+"/vendor", "0x8086\n")
		k.file(dir+"/device", fmt.Sprintf("0x%04x\n", 0x1000+i))
		k.file(dir+"/driver_override", "(null)\n")
		if !d.noReset {
			k.file(dir+"/reset", "")
		}
		if d.group != noGroup {
			k.link(fmt.Sprintf("../../../../kernel/iommu_groups/%d", d.group), dir+"/iommu_group")
		}
		if d.iface != "" {
			k.file(dir+"/.iface", fmt.Sprintf("%s %v", d.iface, d.up))
		}
		if d.driver != "" {
			k.driver(d.driver)
			k.bind(d.driver, d.address)
		}
	}
	return k
}

func (k *madeUp) path(name string) string { return filepath.Join(k.root, name) }

func (k *madeUp) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *madeUp) file(name, content string) {
	k.t.Helper()
	k.must(os.MkdirAll(filepath.Dir(k.path(name)), 0o755))
	k.must(os.WriteFile(k.path(name), []byte(content), 0o644))
}

func (k *madeUp) link(to, name string) {
	k.t.Helper()
	k.must(os.MkdirAll(filepath.Dir(k.path(name)), 0o755))
	k.must(os.Symlink(to, k.path(name)))
}

func (k *madeUp) driver(name string) {
	k.file("sys/bus/pci/drivers/"+name+"/bind", "")
	k.file("sys/bus/pci/drivers/"+name+"/unbind", "")
	k.file("sys/bus/pci/drivers_probe", "")
}

// bind gives a device to a driver; a network driver makes its interface.
func (k *madeUp) bind(driver, address string) {
	dir := "sys/bus/pci/devices/" + address
	k.link("../../drivers/"+driver, dir+"/driver")
	if driver == vfioDriver {
		k.file("dev/vfio/"+linkName(k.path(dir+"/iommu_group")), "")
		return
	}
	var name string
	var up bool
	text, err := os.ReadFile(k.path(dir + "/.iface"))
	if err != nil {
		return
	}
	fmt.Sscan(string(text), &name, &up)
	flags := "0x1002\n"
	if up {
		flags = "0x1003\n"
	}
	k.file(dir+"/net/"+name+"/flags", flags)
	k.file(dir+"/net/"+name+"/mtu", "1500\n")
}

func (k *madeUp) unbind(address string) {
	dir := k.path("sys/bus/pci/devices/" + address)
	if linkName(dir+"/driver") == vfioDriver {
		os.Remove(k.path("dev/vfio/" + linkName(dir+"/iommu_group")))
	}
	k.must(os.Remove(dir + "/driver"))
	k.must(os.RemoveAll(dir + "/net"))
}

// write is what the kernel makes of a write.
func (k *madeUp) write(path, data string) error {
	if k.dieAt != 0 && len(k.writes)+1 >= k.dieAt {
		runtime.Goexit()
	}
	name, err := filepath.Rel(k.path("sys"), path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	k.writes = append(k.writes, name+" "+strings.TrimSpace(data))
	if err := k.fails[name]; err != nil {
		return err
	}
	word, parts := strings.TrimSpace(data), strings.Split(name, "/")
	switch {
	case strings.HasSuffix(name, "/driver_override"):
		if word == "" {
			word = "(null)"
		}
		return os.WriteFile(path, []byte(word+"\n"), 0o644)
	case strings.HasSuffix(name, "/reset"):
		return nil
	case strings.HasSuffix(name, "/unbind"):
		k.unbind(word)
		return nil
	case strings.HasSuffix(name, "/bind"):
		return k.match(parts[3], word)
	case name == "bus/pci/drivers_probe":
		override, _ := readWord(k.path("sys/bus/pci/devices/" + word + "/driver_override"))
		if override == "(null)" {
			override = "late" // the module that comes by itself
		}
		return k.match(override, word)
	}
	return fmt.Errorf("%s: nothing is written there", name)
}

// match binds as the kernel does: a free device only, to a driver that is for it.
func (k *madeUp) match(driver, address string) error {
	dir := k.path("sys/bus/pci/devices/" + address)
	override, _ := readWord(dir + "/driver_override")
	if linkName(dir+"/driver") != "" || override != "(null)" && override != driver || override == "(null)" && driver == vfioDriver {
		return fmt.Errorf("bind %s to %s: no such device", address, driver)
	}
	k.bind(driver, address)
	return nil
}

// untilKilled runs f, which dies at a write, and takes the locks away that its
// process held. It says whether f died.
func (k *madeUp) untilKilled(dieAt int, dir string, f func()) bool {
	k.t.Helper()
	k.dieAt = dieAt
	lived := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
		lived = true
	}()
	<-done
	k.dieAt = 0
	paths, err := journals(dir)
	k.must(err)
	for _, path := range paths { // the lock is the old file's
		text, err := os.ReadFile(path)
		k.must(err)
		k.must(os.Remove(path))
		k.must(os.WriteFile(path, text, 0o600))
	}
	return !lived
}

// state is all that a passthrough may change.
func (k *madeUp) state() string {
	k.t.Helper()
	devices, err := System{Sys: k.system.Sys, Proc: k.system.Proc, Dev: k.system.Dev}.Devices()
	k.must(err)
	var b strings.Builder
	for _, d := range devices {
		fmt.Fprintf(&b, "%s driver=%s override=%s interfaces=%v\n", d.Address, d.Driver, d.Override, d.Interfaces)
	}
	return b.String()
}
