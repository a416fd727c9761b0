package disk_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/disk"
	"github.com/headwatch/headwatch/runners/nic"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// drivers are what a FreeBSD kernel calls the devices of the models, if it has the
// driver.
var drivers = map[string]string{
	"virtio-net": "VirtIO Networking Adapter", "e1000": "82540EM", "e1000e": "82574L", "igb": "82576",
	"vmxnet3": "VMware VMXNET3 Ethernet Adapter", "rtl8139": "RealTek 8139",
}

// A FreeBSD guest has the NICs for which its kernel has drivers, booted and cloned,
// over both channels of the agent: on a wire, and with HEADWATCH_LONG on every link
// that this host has. Answers come from FreeBSD's own stack.
func TestFreeBSDConforms(t *testing.T) {
	g := freebsd(t)
	// On QEMU 7.2's e1000e with MSI-X FreeBSD's driver did not answer in four of six
	// machines, and without it in all. docs/nics.md has what was tried.
	g.Settings = append(g.Settings, disk.Setting{Name: "dev.em.0.iflib.disable_msix", Value: "1"})
	kernel, err := os.ReadFile(g.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	b := image(t, g)
	links := []string{nic.Wire}
	if runnertest.Long() {
		links = nil
		for _, l := range (nic.System{}).TryLinks(nil) {
			if l.Problem == "" && l.Link != nic.VFIO {
				links = append(links, l.Link)
			}
		}
	}
	version, err := qemu.New(qemu.Config{}).Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range nic.Models() {
		if why := m.Missing(version); why != "" {
			t.Run(m.Name, func(t *testing.T) { t.Skip(why) })
			continue
		}
		if !bytes.Contains(kernel, []byte(drivers[m.Name])) {
			t.Run(m.Name, func(t *testing.T) { t.Skipf("%s has no driver for it", g.Kernel) })
			continue
		}
		for _, link := range links {
			for _, way := range runnertest.Ways {
				n, control := runners.NIC{Model: m.Name, Link: link}, []string{"virtio", "serial"}[i%2]
				t.Run(runnertest.Title(n, way, control), func(t *testing.T) {
					runnertest.Conform(t, func(t *testing.T) (runners.Runner, runners.Bootable, runners.Spec) {
						s := spec(t, control)
						s.NICs, s.BootTimeout = []runners.NIC{n}, 3*time.Minute
						return qemu.New(qemu.Config{}), b, s
					}, way, false)
				})
			}
		}
	}
}
