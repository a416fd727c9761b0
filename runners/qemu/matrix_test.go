package qemu_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/nic"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// drivers are the modules of Linux for the models.
var drivers = []string{"virtio_net", "e1000", "e1000e", "igb", "vmxnet3", "8139cp"}

// TestMatrix checks every model of a NIC on every link that this host has, in
// machines that are booted and cloned, over both channels of the agent. With
// HEADWATCH_LONG each has a machine of its own; else several share one: each model is
// tried on a wire and each link at least once, in either way and over either channel.
func TestMatrix(t *testing.T) {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		t.Skipf("%v: run make setup", err)
	}
	// Not beside other tests: what is left of a machine is looked for in all of this
	// process.
	guest := runnertest.LinuxGuestOf(t, "generic", drivers...)
	models, links := usable(t)
	conform := func(name string, way runnertest.Way, control string, nics ...runners.NIC) {
		t.Run(name, func(t *testing.T) {
			runnertest.Conform(t, func(t *testing.T) (runners.Runner, runners.Bootable, runners.Spec) {
				return qemu.New(qemu.Config{}), guest, runners.Spec{
					SMP: 2, Memory: 256, Accel: "auto", Control: control, NICs: nics, BootTimeout: 2 * time.Minute,
					Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
				}
			}, way, true)
		})
	}
	if runnertest.Long() {
		for _, model := range models {
			for _, link := range links {
				for _, way := range runnertest.Ways {
					for _, control := range []string{"virtio", "serial"} {
						n := runners.NIC{Model: model, Link: link}
						title := runnertest.Title(n, way, control)
						conform(title, way, control, n)
					}
				}
			}
		}
		return
	}
	shared := []runners.NIC{{Model: "virtio-net", Link: nic.User}}
	for _, model := range models {
		shared = append(shared, runners.NIC{Model: model, Link: nic.Wire})
	}
	conform("all/cold/virtio", runnertest.Cold, "virtio", shared...)
	conform("all/clone/serial", runnertest.Clone, "serial", shared...)
	for _, link := range links[2:] {
		conform("virtio-net/"+link+"/clone/virtio", runnertest.Clone, "virtio", runners.NIC{Model: "virtio-net", Link: link})
	}
}

// usable lists the models that the installed QEMU has, and the links that work here.
// What is left out is a skipped test with the reason.
func usable(t *testing.T) (models, links []string) {
	version, err := qemu.New(qemu.Config{}).Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range nic.Models() {
		if why := m.Missing(version); why != "" {
			t.Run("model "+m.Name, func(t *testing.T) { t.Skip(why) })
			continue
		}
		models = append(models, m.Name)
	}
	for _, l := range (nic.System{}).TryLinks(nil) {
		switch {
		case l.Link == nic.VFIO:
			t.Run("link vfio", func(t *testing.T) { t.Skip("make test-vfio passes a NIC through") })
		case l.Problem != "":
			t.Run("link "+l.Link, func(t *testing.T) { t.Skip(strings.TrimSpace(l.Problem)) })
		default:
			links = append(links, l.Link)
		}
	}
	return models, links
}
