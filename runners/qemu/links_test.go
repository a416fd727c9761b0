package qemu

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	nics "github.com/headwatch/headwatch/runners/nic"
	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestNICsThatCannotBe(t *testing.T) {
	r := New(Config{})
	for _, tt := range []struct {
		n    runners.NIC
		want string
	}{
		{runners.NIC{Model: "ne2k", Link: "user"}, `nic 0: model "ne2k"`},
		{runners.NIC{Model: "virtio-net", Link: "user", Queues: 2}, "nic 0: queues=2: link user has one queue"},
		{runners.NIC{Model: "virtio-net"}, `nic 0: link ""`},
	} {
		b := runners.Bootable{Image: runners.Image{OS: "linux", Arch: "amd64"}, Kernel: "k"}
		got := r.Command(b, runners.Spec{SMP: 1, Memory: 128, Accel: "tcg", NICs: []runners.NIC{tt.n}})
		if !strings.HasPrefix(got, "# "+tt.want) {
			t.Errorf("%+v: %s, want %q", tt.n, got, tt.want)
		}
	}
}

func TestBackends(t *testing.T) {
	r := New(Config{})
	if _, err := r.binary(); err != nil {
		t.Skip(err)
	}
	got, err := r.Backends(t.Context())
	if err != nil || !slices.Contains(got, "stream") || !slices.Contains(got, "user") || slices.Contains(got, "Available") {
		t.Errorf("back ends %q, %v", got, err)
	}
}

// TestBootOnTap boots a machine on taps, one of them with queues. QEMU gets them as
// descriptors; nothing is left of them after.
func TestBootOnTap(t *testing.T) {
	probe, err := nics.System{}.OpenTap(nics.NIC{Model: "virtio-net", Link: nics.Tap})
	if err != nil {
		t.Skipf("no taps here: %v", err)
	}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	b := runnertest.LinuxGuest(t)
	m, err := New(Config{}).Boot(t.Context(), b, runners.Spec{
		SMP: 1, Memory: 256, Accel: "auto", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
		NICs: []runners.NIC{{Model: "virtio-net", Link: "tap", Queues: 2, MTU: 9000}, {Model: "e1000e", Link: "tap", MTU: 9000}, {Model: "virtio-net", Link: "user"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	links := &m.(*machine).vm.links
	for i, want := range []bool{true, true, false} {
		if wire := links.wire(i); (wire != nil) != want {
			t.Errorf("nic %d has a wire: %v", i, wire != nil)
		}
	}
	wire := links.wire(0)
	if err := nics.Stream(wire).WriteFrame(make([]byte, 60)); err != nil {
		t.Error(err)
	}
	if _, err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := nics.Stream(wire).WriteFrame(make([]byte, 60)); err == nil {
		t.Error("the wire outlives its machine")
	}
	list, err := net.Interfaces()
	for _, i := range list {
		if strings.HasPrefix(i.Name, "hw") {
			t.Errorf("%s is left, %v", i.Name, err)
		}
	}
}

// TestPassthroughOfNothing fails before QEMU starts.
func TestPassthroughOfNothing(t *testing.T) {
	if _, err := New(Config{}).binary(); err != nil {
		t.Skip(err)
	}
	b := runnertest.LinuxGuest(t)
	spec := runners.Spec{
		SMP: 1, Memory: 256, Accel: "tcg", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
		NICs: []runners.NIC{{Model: "ffff:1f:1f.7", Link: "vfio", Port: "hw-none"}},
	}
	for config, want := range map[Config]string{
		{}:                         "keeps no journal",
		{Passthrough: t.TempDir()}: "ffff:1f:1f.7: no such NIC; headwatch nics lists them",
	} {
		_, err := New(config).Boot(t.Context(), b, spec)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
