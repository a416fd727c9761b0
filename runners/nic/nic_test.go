package nic

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		n    NIC
		want string // in the error; empty: none
	}{
		{NIC{Model: "virtio-net", Link: "user"}, ""},
		{NIC{Model: "rtl8139", Link: "wire", MTU: 1500, MAC: "52:54:00:68:77:01"}, ""},
		{NIC{Model: "virtio-net", Link: "tap", Queues: 4, MTU: 9000, TSO: "off", LRO: "on", Bridge: "br0"}, ""},
		{NIC{Model: "vmxnet3", Link: "wire", MTU: 9000}, ""},
		{NIC{Model: "0000:03:00.0", Link: "vfio", Port: "enp4s0", MTU: 9000}, ""},
		{NIC{}, `link "": want one of wire, user, tap, vfio`},
		{NIC{Model: "virtio-net", Link: "ring"}, `link "ring"`},
		{NIC{Model: "ne2k", Link: "user"}, `model "ne2k": want one of virtio-net, e1000, e1000e, igb, vmxnet3, rtl8139`},
		{NIC{Model: "virtio-net", Link: "user", Queues: 2}, "link user has one queue; tap has more"},
		{NIC{Model: "e1000e", Link: "tap", Queues: 2}, "the queues of e1000e cannot be chosen"},
		{NIC{Model: "virtio-net", Link: "tap", Queues: 65}, "want 1 to 64"},
		{NIC{Model: "virtio-net", Link: "tap", Queues: -1}, "want 1 to 64"},
		{NIC{Model: "rtl8139", Link: "wire", MTU: 9000}, "rtl8139 takes 576 to 1500"},
		{NIC{Model: "e1000", Link: "wire", MTU: 100}, "e1000 takes 576 to 9000"},
		{NIC{Model: "virtio-net", Link: "user", MTU: 9000}, "link user takes at most 1500"},
		{NIC{Model: "virtio-net", Link: "user", TSO: "yes"}, "tso=yes: want on or off"},
		{NIC{Model: "virtio-net", Link: "user", Checksum: "off", TSO: "on"}, "leave out tso=on"},
		{NIC{Model: "virtio-net", Link: "user", MAC: "ff:ff:ff:ff:ff:ff"}, "the address of one station"},
		{NIC{Model: "virtio-net", Link: "user", Bridge: "br0"}, "with link tap"},
		{NIC{Model: "virtio-net", Link: "tap", Bridge: "../x"}, "want a bridge of this host"},
		{NIC{Model: "virtio-net", Link: "tap", Port: "eth1"}, "with link vfio"},
		{NIC{Model: "e1000e", Link: "vfio", Port: "eth1"}, "want the PCI address"},
		{NIC{Model: "0000:03:00.0", Link: "vfio"}, "want port=NAME"},
		{NIC{Model: "0000:03:00.0", Link: "vfio", Port: "eth1", MAC: "52:54:00:68:77:01"}, "has its own"},
		{NIC{Model: "0000:03:00.0,x", Link: "vfio", Port: "eth1"}, "want the PCI address"},
	} {
		err := tt.n.Check()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v", tt.n, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%+v: error %v, want %q in one line", tt.n, err, tt.want)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		n             NIC
		qemu, refused string
		guest         Settings
	}{
		{NIC{Model: "igb", Link: "wire"}, "7.2.22", "install 8.0 or newer", Settings{}},
		{NIC{Model: "igb", Link: "wire"}, "10.0", "", Settings{}},
		{NIC{Model: "e1000e", Link: "wire", TSO: "on"}, "7.2.22", "QEMU 7.2.22 damages what e1000e segments", Settings{TSO: "on"}},
		{NIC{Model: "e1000e", Link: "wire"}, "7.2.22", "", Settings{TSO: "off"}},
		{NIC{Model: "vmxnet3", Link: "wire", MTU: 9000, LRO: "off"}, "7.2", "", Settings{MTU: 9000, TSO: "off", LRO: "off"}},
		{NIC{Model: "vmxnet3", Link: "wire", TSO: "on"}, "8.0.0", "", Settings{TSO: "on"}},
		{NIC{Model: "e1000e", Link: "wire"}, "8.2.1", "", Settings{}},
		{NIC{Model: "virtio-net", Link: "wire", MTU: 9000, TSO: "off"}, "7.2", "", Settings{}},
		{NIC{Model: "0000:03:00.0", Link: "vfio", MTU: 9000}, "7.2", "", Settings{MTU: 9000}},
	} {
		err := tt.n.CheckVersion(tt.qemu)
		if got := err != nil; got != (tt.refused != "") || got && !strings.Contains(err.Error(), tt.refused) {
			t.Errorf("%+v on %s: error %v, want %q", tt.n, tt.qemu, err, tt.refused)
		}
		if got := tt.n.Guest(tt.qemu); got != tt.guest {
			t.Errorf("%+v on %s: the guest sets %+v, want %+v", tt.n, tt.qemu, got, tt.guest)
		}
	}
}

func TestArgs(t *testing.T) {
	for _, tt := range []struct {
		n    NIC
		e    Ends
		want string
	}{
		{NIC{Model: "virtio-net", Link: "user"}, Ends{}, "-netdev user,restrict=on,id=net1 -device virtio-net-pci,netdev=net1,mac=52:54:00:68:77:01,romfile="},
		{NIC{Model: "e1000e", Link: "wire", MAC: "52:54:00:00:00:09", TSO: "off"}, Ends{Wire: 5}, "-netdev stream,id=net1,addr.type=fd,addr.str=5 -device e1000e,netdev=net1,mac=52:54:00:00:00:09,romfile="},
		{NIC{Model: "e1000", Link: "wire"}, Ends{Loose: true}, "-netdev hubport,hubid=1,id=net1 -device e1000,netdev=net1,mac=52:54:00:68:77:01,romfile="},
		{NIC{Model: "igb", Link: "wire"}, Ends{}, "-netdev stream,id=net1,server=on,addr.type=unix,addr.path=net1.sock -device igb,netdev=net1,mac=52:54:00:68:77:01,romfile="},
		{
			NIC{Model: "virtio-net", Link: "tap", Queues: 2, MTU: 9000, TSO: "off", LRO: "on"}, Ends{Tap: []int{5, 6}, Vhost: []int{7, 8}},
			"-netdev tap,id=net1,fds=5:6,vhost=on,vhostfds=7:8 -device virtio-net-pci,netdev=net1,mac=52:54:00:68:77:01,romfile=," +
				"mq=on,vectors=6,host_mtu=9000,host_tso4=off,host_tso6=off,guest_tso4=on,guest_tso6=on,host_ecn=off,host_ufo=off",
		},
		{
			NIC{Model: "virtio-net", Link: "tap", Checksum: "off"}, Ends{Tap: []int{5}},
			"-netdev tap,id=net1,fd=5 -device virtio-net-pci,netdev=net1,mac=52:54:00:68:77:01,romfile=,csum=off,guest_csum=off," +
				"host_tso4=off,host_tso6=off,guest_tso4=off,guest_tso6=off,host_ecn=off,host_ufo=off,guest_ecn=off,guest_ufo=off",
		},
		{NIC{Model: "rtl8139", Link: "tap", Bridge: "br0"}, Ends{}, "-netdev bridge,id=net1,br=br0 -device rtl8139,netdev=net1,mac=52:54:00:68:77:01,romfile="},
		{NIC{Model: "virtio-net", Link: "tap", Queues: 2}, Ends{}, "-netdev tap,id=net1,script=no,downscript=no,queues=2 -device virtio-net-pci,netdev=net1,mac=52:54:00:68:77:01,romfile=,mq=on,vectors=6"},
		{NIC{Model: "0000:03:00.0", Link: "vfio", Port: "eth1"}, Ends{}, "-device vfio-pci,host=0000:03:00.0,rombar=0"},
	} {
		if diff := cmp.Diff(tt.want, strings.Join(tt.n.Args(1, tt.e), " ")); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.n, diff)
		}
	}
}

const qemuBinary = "qemu-system-x86_64"

func needQEMU(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(qemuBinary); err != nil {
		t.Skipf("no QEMU: %v: run make setup", err)
	}
}

// TestQEMUTakesTheArguments asks the real QEMU whether what is rendered exists: it
// starts each machine, stopped, and is told to quit.
func TestQEMUTakesTheArguments(t *testing.T) {
	needQEMU(t)
	out, err := exec.CommandContext(t.Context(), qemuBinary, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`[0-9]+(\.[0-9]+)+`).FindString(string(out))
	var list []NIC
	for _, m := range Models() {
		if m.Missing(version) == "" {
			list = append(list, NIC{Model: m.Name, Link: User})
		}
	}
	list = append(list, NIC{Model: "virtio-net", Link: User, MTU: 1400, TSO: "off", LRO: "off", Checksum: "off"},
		NIC{Model: "virtio-net", Link: User, TSO: "on", LRO: "on", Checksum: "on"})
	argv := []string{"-nodefaults", "-machine", "q35", "-display", "none", "-S", "-monitor", "stdio"}
	for i, n := range list {
		if err := n.Check(); err != nil {
			t.Fatal(err)
		}
		argv = append(argv, n.Args(i, Ends{})...)
	}
	cmd := exec.CommandContext(t.Context(), qemuBinary, argv...)
	cmd.Stdin = strings.NewReader("info network\nquit\n")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, n := range list {
		if !strings.Contains(string(text), "model="+modelDevice(n)) {
			t.Errorf("QEMU %s shows no %s:\n%s", version, n.Model, text)
		}
	}
}

func modelDevice(n NIC) string {
	m, _ := ModelNamed(n.Model)
	return m.Device
}
